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
    && /opt/hposvc/bin/pip install --no-cache-dir --constraint requirements.lock ".[otel,s3]"

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

# CUDA 12.2 with cuDNN 8 is the newest that Jittor 1.3.11 compiles with; that Ubuntu has a Python 3.11 and g++ 11.
FROM nvidia/cuda:12.2.2-cudnn8-devel-ubuntu22.04 AS gpu
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends g++ libgomp1 python3.11-dev python3.11-venv \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 hposvc \
    && install --directory --owner hposvc /data /home/hposvc/.cache
COPY --from=source /source /source
WORKDIR /source
RUN python3.11 -m venv /opt/hposvc \
    && /opt/hposvc/bin/pip install --no-cache-dir --constraint requirements.lock ".[otel,s3]"
ENV PATH=/opt/hposvc/bin:/usr/local/cuda/bin:$PATH nvcc_path=/usr/local/cuda/bin/nvcc \
    HPOSVC_DATA_DIR=/data HPOSVC_LOG_FORMAT=json HPOSVC_DEVICE=cuda PYTHONUNBUFFERED=1
WORKDIR /data
USER 10001
VOLUME ["/data", "/home/hposvc/.cache"]
ENTRYPOINT ["hposvc"]
CMD ["worker", "--gpus", "all"]
