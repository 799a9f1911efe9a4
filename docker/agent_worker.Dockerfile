# Joins rooms, listens and speaks.
FROM debian:bookworm-slim AS build
# python3-venv: the environment; ca-certificates: package downloads over TLS
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv ca-certificates \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/avatar
ENV PATH=/opt/avatar/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements/tools.txt requirements/agent.txt /build/requirements/
RUN pip install --quiet --require-hashes -r /build/requirements/tools.txt \
    && pip install --quiet --no-deps --require-hashes -r /build/requirements/agent.txt
COPY platform/avatar_contracts /build/avatar_contracts
COPY agent_worker /build/agent_worker
RUN pip install --quiet --no-deps --no-build-isolation /build/avatar_contracts /build/agent_worker

FROM debian:bookworm-slim
# python3: the interpreter; espeak-ng: phonemes for speech, run as a program of its own; curl: the health check
RUN apt-get update && apt-get install -y --no-install-recommends python3 espeak-ng curl ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home avatar && install -d -o avatar /var/cache/avatar
COPY --from=build /opt/avatar /opt/avatar
ENV PATH=/opt/avatar/bin:$PATH PYTHONUNBUFFERED=1 AVATAR_CACHE_DIR=/var/cache/avatar AGENT_HEALTH_PORT=8081
USER avatar
WORKDIR /home/avatar
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s CMD curl -fsS http://127.0.0.1:8081/ || exit 1
CMD ["python", "-m", "agent_worker"]
