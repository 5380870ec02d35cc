# The service as an image. It needs no shell, runs with a read-only root file system as a user
# without a name, and writes to /data alone.
#
# Pin the base image where it is built: --build-arg PYTHON_IMAGE=python:3.13-slim@sha256:…
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python3 -m venv tools && python3 -m venv --without-pip /opt/uvms-adapter && mkdir data

# What we need changes seldom, and so is a layer of its own, apart from our code.
COPY requirements-build.txt requirements.txt ./
RUN tools/bin/pip install --require-hashes --requirement requirements-build.txt \
    && tools/bin/pip --python /opt/uvms-adapter/bin/python install --no-compile \
        --require-hashes --only-binary :all: --requirement requirements.txt

COPY pyproject.toml README.md LICENSE ./
COPY adapter ./adapter
# Byte code is written now: nothing can be written where the image runs. It is not compared with
# dates of files, which a registry or a copy may change.
RUN tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && tools/bin/pip --python /opt/uvms-adapter/bin/python install --no-compile --no-index --no-deps dist/*.whl \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/uvms-adapter/lib

FROM ${PYTHON_IMAGE}
ARG PYTHON_IMAGE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="uvms-adapter" \
      org.opencontainers.image.description="Alertmanager and Grafana webhooks in, UCloud UVMS voice calls out" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"

COPY --from=build /opt/uvms-adapter /opt/uvms-adapter
COPY --from=build --chown=65532:65532 /build/data /data

# SQLite's large sorts spill into files: there is no other place for them than /data.
ENV PATH="/opt/uvms-adapter/bin:${PATH}" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SQLITE_TMPDIR=/data \
    UVMS_DATABASE_URL=sqlite:////data/uvms-adapter.db

# Where routes.yaml is mounted: every command finds it there, also with `kubectl exec`.
WORKDIR /etc/uvms-adapter
VOLUME ["/data"]
USER 65532:65532
EXPOSE 8080
# The service handles SIGTERM as PID 1: it lets calls under way finish, at most --stop-within.
STOPSIGNAL SIGTERM
ENTRYPOINT ["uvms-adapter"]
CMD ["serve", "--listen", "0.0.0.0:8080"]
