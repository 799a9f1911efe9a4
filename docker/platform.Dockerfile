# Web, control worker, beat and migrations: one image, four commands.
FROM debian:bookworm-slim AS build
# python3-venv: the environment; ca-certificates: package downloads over TLS
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv ca-certificates \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/avatar
ENV PATH=/opt/avatar/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements/tools.txt requirements/platform.txt /build/requirements/
RUN pip install --quiet --require-hashes -r /build/requirements/tools.txt \
    && pip install --quiet --no-deps --require-hashes -r /build/requirements/platform.txt
COPY platform/avatar_contracts /build/avatar_contracts
COPY platform /build/platform
RUN pip install --quiet --no-deps --no-build-isolation /build/avatar_contracts /build/platform

FROM debian:bookworm-slim
# python3: the interpreter; curl: the health check
RUN apt-get update && apt-get install -y --no-install-recommends python3 curl ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home avatar && install -d -o avatar /srv/avatar /srv/avatar/media
COPY --from=build /opt/avatar /opt/avatar
COPY manage.py /srv/avatar/manage.py
COPY avatar_worker/characters /srv/avatar/characters
WORKDIR /srv/avatar
ENV PATH=/opt/avatar/bin:$PATH PYTHONUNBUFFERED=1 MEDIA_ROOT=/srv/avatar/media
USER avatar
RUN DJANGO_SECRET_KEY=build python manage.py collectstatic --no-input --verbosity 0
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD curl -fsS http://127.0.0.1:8000/healthz || exit 1
CMD ["uvicorn", "avatar_platform.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--no-access-log"]
