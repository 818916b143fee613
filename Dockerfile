# Images from one file: the API needs no compiler, a worker compiles Jittor and its kernels while it runs.
#   docker build --target api -t hposvc-api .
#   docker build --target worker -t hposvc-worker .
#   docker build --target gpu -t hposvc-worker-gpu .

FROM python:3.11-slim-bookworm AS source
WORKDIR /source
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY hposvc hposvc
COPY api api
COPY workers workers
COPY migrations migrations
COPY examples examples

# everything but Jittor and oneDNN: wheels only, so nothing is compiled here either
FROM source AS build-api
RUN python -m venv /opt/hposvc \
    && /opt/hposvc/bin/pip install --no-cache-dir "pip>=25.1" \
    && /opt/hposvc/bin/pip install --no-cache-dir --constraint requirements.lock --group api \
    && /opt/hposvc/bin/pip install --no-cache-dir --no-deps .

FROM source AS build-worker
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/hposvc \
    && /opt/hposvc/bin/pip install --no-cache-dir --constraint requirements.lock ".[excel,otel,s3]"

FROM build-worker AS build-gpu
RUN /opt/hposvc/bin/pip install --no-cache-dir --constraint requirements.lock ".[cuda]"

FROM python:3.11-slim-bookworm AS base
RUN useradd --create-home --uid 10001 hposvc && install --directory --owner hposvc /data
ENV PATH=/opt/hposvc/bin:$PATH HPOSVC_DATA_DIR=/data HPOSVC_LOG_FORMAT=json PYTHONUNBUFFERED=1
WORKDIR /data
VOLUME /data
ENTRYPOINT ["hposvc"]

FROM base AS api
# pg_dump and pg_restore, for backups: Debian's PostgreSQL 15, which compose runs
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends postgresql-client && rm -rf /var/lib/apt/lists/*
COPY --from=build-api /opt/hposvc /opt/hposvc
USER 10001
EXPOSE 8080
CMD ["api", "--host", "0.0.0.0"]

FROM base AS worker
# g++ and, with the image's own Python, its headers and python3.11-config in /usr/local
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends g++ libgomp1 && rm -rf /var/lib/apt/lists/* \
    && install --directory --owner hposvc /home/hposvc/.cache
COPY --from=build-worker /opt/hposvc /opt/hposvc
USER 10001
# Jittor's cache: compiling it anew takes minutes. Its path holds the host's name, so the container's must be fixed.
VOLUME /home/hposvc/.cache
CMD ["worker"]

# CUDA comes as wheels, and the driver from the host's container runtime, which the two variables tell what is wanted.
FROM worker AS gpu
COPY --from=build-gpu /opt/hposvc /opt/hposvc
ENV HPOSVC_DEVICE=cuda NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001
CMD ["worker", "--gpus", "all"]
