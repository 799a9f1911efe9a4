"""A platform in the middle of a day: workers, sessions in every state, failures, latencies."""

from datetime import datetime, timedelta

from django.core.files.base import ContentFile
from django.utils import timezone

from avatar_contracts.states import EndReason, SessionState
from avatar_platform.access.models import Account
from avatar_platform.access.services import issue_key, open_account, revoke_key
from avatar_platform.characters.models import Character, CharacterVersion, ConsentKind
from avatar_platform.characters.services import publish, record_consent
from avatar_platform.fleet.models import AvatarWorker, PlatformProcess
from avatar_platform.sessions.models import Session, SessionEvent, TranscriptLine

LINES = (
    ("avatar", "Hello, I am Mira. Ask me about anything in the collection."),
    ("user", "Do you know who made the little brass clock?"),
    ("avatar", "A watchmaker in Leeds, about 1840. It still runs, if somebody winds it."),
    ("user", "And what is it worth?"),
)


def seed(picture: bytes = b"\x89PNG", n_ended: int = 12) -> Session:
    """Fill the database; returns the session that is talking right now."""
    now = timezone.now()
    ada, cleo = open_account(name="Ada & Ben"), open_account(name="Cleo")
    mira = _character("mira", "Mira", picture)
    ben = _character("ben", "Ben", picture, account=ada)
    issue_key(account=ada, name="website")
    key, _ = issue_key(account=cleo, name="kiosk", scopes=["sessions:read"])
    revoke_key(key=key)
    h100 = _worker(now, "gpu-1", "NVIDIA H100 80GB", slots=8, shows=mira)
    cpu = _worker(now, "cpu-3", "CPU, AMX bf16, 2 cores", slots=2)
    _worker(now, "cpu-2", "CPU, AVX2, 4 cores", slots=1, dead=True)
    talking = _session(ada, mira, SessionState.ACTIVE, now - timedelta(minutes=3), worker=h100)
    _session(cleo, mira, SessionState.READY, now - timedelta(seconds=20), worker=h100, epoch=2)
    _session(ada, ben, SessionState.PROVISIONING, now - timedelta(seconds=2), worker=cpu)
    for wait_s in (9, 5, 1):
        _session(cleo, mira, SessionState.QUEUED, now - timedelta(seconds=wait_s))
    for i in range(n_ended):
        state = SessionState.FAILED if i % 5 == 1 else SessionState.ENDED
        reason = EndReason.WORKER_LOST if i % 5 == 1 else EndReason.USER_CLOSED
        begun = now - timedelta(hours=(i * 7) % 23, minutes=11 * i % 60, seconds=40)
        _session(ada, mira, state, begun, worker=cpu, reason=reason)
    h100.figures = [
        {
            "session": str(talking.pk), "epoch": 1, "fps": 25.0, "frames": 4475, "skipped": 0,
            "late": 1, "speaking": True, "queued_audio_s": 2.4,
        }
    ]  # fmt: skip
    h100.save()
    _talk(talking)
    for name in ("web", "reaper"):
        PlatformProcess.objects.update_or_create(
            name=name, defaults={"up_since": now - timedelta(hours=5), "seen_at": now}
        )
    return talking


def _character(slug: str, name: str, picture: bytes, account: Account | None = None) -> Character:
    character, _ = Character.objects.get_or_create(
        slug=slug,
        account=account,
        defaults={
            "name": name,
            "description": "Guide to the museum of small things",
            "greeting": f"Hello, I am {name}.",
            "voice": "kokoro:af_heart",
        },
    )
    version = CharacterVersion.objects.create(
        character=character, number=1, engine="synctalk", size_bytes=17_400_000, sha256="0" * 64
    )
    version.preview.save("face.png", ContentFile(picture))
    record_consent(
        character=character, kind=ConsentKind.SYNTHETIC, subject="nobody", recorded_by="admin"
    )
    publish(version=version)
    return character


def _worker(
    now: datetime,
    host: str,
    device: str,
    slots: int,
    dead: bool = False,
    shows: Character | None = None,
) -> AvatarWorker:
    versions = CharacterVersion.objects.filter(character=shows).values_list("pk", flat=True)
    return AvatarWorker.objects.create(
        id=f"{host}-7f3a",
        host=host,
        device=device,
        slots=slots,
        characters=[str(pk) for pk in versions],
        render_progress=81_233,
        lease_until=now + timedelta(seconds=-60 if dead else 60),
        last_beat_at=now - timedelta(minutes=25) if dead else now,
        started_at=now - timedelta(hours=4),
        dead_at=now - timedelta(minutes=25) if dead else None,
    )


def _session(
    account: Account,
    character: Character,
    state: SessionState,
    begun: datetime,
    worker: AvatarWorker | None = None,
    reason: EndReason | None = None,
    epoch: int = 1,
) -> Session:
    claimed = begun + timedelta(milliseconds=60) if worker else None
    shown = state in (SessionState.READY, SessionState.ACTIVE, SessionState.ENDED)
    ready = begun + timedelta(milliseconds=830) if shown else None
    session = Session.objects.create(
        account=account,
        character=character,
        version=character.published_version,
        status=state.value,
        epoch=epoch,
        worker=worker,
        created_at=begun,
        queued_at=begun,
        claimed_at=claimed,
        first_claimed_at=claimed,
        first_frame_at=ready,
        ready_at=ready,
        visitor_joined_at=ready,
        end_reason=reason.value if reason else "",
        end_detail="worker cpu-3: lease expired" if state is SessionState.FAILED else "",
        ended_at=begun + timedelta(seconds=39) if state.is_terminal else None,
    )
    _event(session, "session.queued", 0.0)
    if claimed:
        _event(session, "session.provisioning", 0.06, {"worker": "gpu-1-7f3a"})
    return session


def _event(
    session: Session, kind: str, after_s: float, data: dict[str, object] | None = None
) -> None:
    SessionEvent.objects.create(
        session=session,
        key=f"{kind}.{after_s}",
        epoch=session.epoch,
        kind=kind,
        at=session.created_at + timedelta(seconds=after_s),
        data=data or {},
    )


def _talk(session: Session) -> None:
    told = (
        ("avatar.joined", 0.41), ("agent.joined", 0.6), ("avatar.first_frame", 0.82),
        ("session.ready", 0.83), ("user.joined", 1.1), ("session.active", 1.11),
        ("avatar.speak_started", 1.4), ("avatar.speak_ended", 5.2), ("user.speak_started", 7.0),
    )  # fmt: skip
    for kind, after_s in told:
        _event(session, kind, after_s)
    for i in range(14):
        _event(
            session, "latency", 8.0 + i, {"name": "user_stopped_to_first_sound", "ms": 640 + 23 * i}
        )
        _event(session, "latency", 8.5 + i, {"name": "first_chunk_to_first_frame", "ms": 31 + i})
    for i, (role, text) in enumerate(LINES):
        TranscriptLine.objects.create(
            session=session,
            key=f"line.{i}",
            role=role,
            text=text,
            at=session.created_at + timedelta(seconds=2 + 4 * i),
        )
