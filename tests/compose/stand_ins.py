"""Images for a machine that reaches Debian's packages but no image registry.

The base `debian:bookworm-slim` is made with debootstrap; Redis and PostgreSQL come from Debian's
packages, LiveKit from the binary that the set-up built. They carry the names that
docker-compose.yml uses, so that the product's own files are tried unchanged. An image that exists
is left alone.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from avatar_platform.local.engines import find_livekit

POSTGRES_START = Path(__file__).with_name("postgres-start.sh")
BASE = "debian:bookworm-slim"
LOCAL_CERTIFICATES = Path("/usr/local/share/ca-certificates")

REDIS = """
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends redis-server
WORKDIR /data
CMD ["redis-server"]
"""

POSTGRES = """
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends postgresql-15
ENV PATH=/usr/lib/postgresql/15/bin:$PATH PGDATA=/var/lib/postgresql/data
COPY start.sh /start.sh
ENTRYPOINT ["sh", "/start.sh"]
"""

LIVEKIT = """
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends wget
COPY livekit-server /livekit-server
ENTRYPOINT ["/livekit-server"]
"""


def make_all() -> None:
    """Every image that docker-compose.yml pulls and that is not there yet."""
    if not _exists(BASE):
        _make_base()
    _build("redis:7-bookworm", REDIS, {})
    _build("postgres:15-bookworm", POSTGRES, {"start.sh": POSTGRES_START.read_bytes()})
    livekit = find_livekit().path.read_bytes()
    _build("livekit/livekit-server:v1.13.5", LIVEKIT, {"livekit-server": livekit})


def _exists(image: str) -> bool:
    found = subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False)
    return found.returncode == 0


def _make_base() -> None:
    """Debian's minimal system, trusting what this host trusts."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        root = Path(folder) / "root"
        subprocess.run(["debootstrap", "--variant=minbase", "bookworm", str(root)], check=True)
        for certificate in LOCAL_CERTIFICATES.glob("*.crt"):
            target = root / LOCAL_CERTIFICATES.relative_to("/")
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(certificate, target)
        with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
            subprocess.run(["docker", "import", "-", BASE], stdin=tar.stdout, check=True)


def _build(image: str, dockerfile: str, files: dict[str, bytes]) -> None:
    if _exists(image):
        return
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Dockerfile").write_text(dockerfile)
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
            (Path(folder) / name).chmod(0o755)
        subprocess.run(
            ["docker", "build", "--network", "host", "-q", "-t", image, folder], check=True
        )
