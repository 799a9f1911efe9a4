# Renders and publishes the face; the CPU kernel is compiled while the image is built.
FROM debian:bookworm-slim AS build
# python3-venv: the environment; ca-certificates: package downloads over TLS; g++: the kernel
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv ca-certificates g++ \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/avatar
ENV PATH=/opt/avatar/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements/tools.txt requirements/avatar.txt /build/requirements/
RUN pip install --quiet --require-hashes -r /build/requirements/tools.txt \
    && pip install --quiet --no-deps --require-hashes -r /build/requirements/avatar.txt
COPY platform/avatar_contracts /build/avatar_contracts
COPY avatar_worker /build/avatar_worker
RUN pip install --quiet --no-deps --no-build-isolation /build/avatar_contracts /build/avatar_worker
RUN cd /opt && AVATAR_KERNEL_DIR=/opt/avatar/kernels python -m avatar_worker.render.kernels --all

FROM debian:bookworm-slim
# python3: the interpreter; curl: the health check
RUN apt-get update && apt-get install -y --no-install-recommends python3 curl ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home avatar && install -d -o avatar /var/cache/avatar
COPY --from=build /opt/avatar /opt/avatar
ENV PATH=/opt/avatar/bin:$PATH PYTHONUNBUFFERED=1 AVATAR_KERNEL_DIR=/opt/avatar/kernels \
    AVATAR_CACHE_DIR=/var/cache/avatar AVATAR_HEALTH_PORT=9100 AVATAR_HEALTH_HOST=0.0.0.0
USER avatar
WORKDIR /home/avatar
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s CMD curl -fsS http://127.0.0.1:9100/healthz || exit 1
CMD ["python", "-m", "avatar_worker", "run"]
