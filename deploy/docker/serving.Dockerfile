# The endpoint of one project: LitServe, ONNX Runtime, the registry's client; no Dagster, no torch.
#
#   make image-serving
#   docker run -e MLOPS_MLFLOW_URI=http://... IMAGE --project flight_delays
#
# The base is given by tag here and by digest where images are released (BASE=...@sha256:...).
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG UV_VERSION=0.13.9
ENV UV_LINK_MODE=copy \
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
    && uv pip install --quiet --constraint requirements.lock --group pyproject.toml:serving \
    # Headers and tests of libraries are a fifth of the image, and nobody reads them.
    && find "${VIRTUAL_ENV}" -depth -type d \( -name tests -o -name include \) -path "*/site-packages/*" \
        -exec rm -rf {} +
COPY mlops_assets mlops_assets
COPY serving serving
RUN site="$(python -c 'import sys; print(f"python{sys.version_info.major}.{sys.version_info.minor}")')" \
    && cp -r mlops_assets serving "${VIRTUAL_ENV}/lib/${site}/site-packages/" \
    && "${VIRTUAL_ENV}/bin/python" -m compileall -q "${VIRTUAL_ENV}/lib"

FROM ${BASE} AS run
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mlops-assets endpoint" \
      org.opencontainers.image.description="Serves the champion of one project" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# What runs installs nothing: the base's own pip goes, and what came with it.
RUN python -m pip uninstall --quiet --yes --root-user-action=ignore setuptools wheel pip \
    && groupadd --gid 10001 mlops \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin mlops \
    && install --directory --owner 10001 --group 10001 /var/lib/mlops
COPY --from=build /opt/mlops /opt/mlops
ENV PATH=/opt/mlops/bin:${PATH} \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MLOPS_HOME=/var/lib/mlops \
    DO_NOT_TRACK=1 \
    MLFLOW_DISABLE_TELEMETRY=true \
    LITSERVE_DISABLE_TELEMETRY=1 \
    GIT_PYTHON_REFRESH=quiet
USER 10001:10001
WORKDIR /var/lib/mlops
EXPOSE 8000
# It answers what is in flight, then ends.
STOPSIGNAL SIGTERM
# 503 as long as there is no champion: not ready, and not a reason to start it anew.
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["python", "-m", "serving", "--host", "0.0.0.0", "--port", "8000"]
CMD ["--project", "flight_delays"]
