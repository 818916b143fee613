# Two images from one file. The API needs no compiler; the worker compiles Jittor and its kernels while it runs.
#   docker build --target api -t hposvc-api .
#   docker build --target worker -t hposvc-worker .

FROM python:3.11-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY hposvc hposvc
COPY api api
COPY workers workers
COPY migrations migrations
COPY examples examples
RUN python -m venv /opt/hposvc && /opt/hposvc/bin/pip install --no-cache-dir --constraint requirements.lock .

FROM python:3.11-slim-bookworm AS base
RUN useradd --create-home --uid 10001 hposvc && install --directory --owner hposvc /data
COPY --from=build /opt/hposvc /opt/hposvc
ENV PATH=/opt/hposvc/bin:$PATH HPOSVC_DATA_DIR=/data HPOSVC_LOG_FORMAT=json PYTHONUNBUFFERED=1
USER hposvc
WORKDIR /data
VOLUME /data
ENTRYPOINT ["hposvc"]

FROM base AS api
EXPOSE 8080
CMD ["api", "--host", "0.0.0.0"]

FROM base AS worker
USER root
# g++ and, with the image's own Python, its headers and python3.11-config in /usr/local
RUN apt-get update && apt-get install --yes --no-install-recommends g++ libgomp1 && rm -rf /var/lib/apt/lists/* \
    && install --directory --owner hposvc /home/hposvc/.cache
USER hposvc
# Jittor's cache: compiling it anew takes minutes. Its path holds the host's name, so the container's must be fixed.
VOLUME /home/hposvc/.cache
CMD ["worker"]
