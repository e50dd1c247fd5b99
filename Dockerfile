# renecinfra itself, for scheduled jobs and services that run inside a cluster. Build it from a clone:
#   docker build --tag renecinfra .
# Pin the base by digest where images are mirrored: --build-arg BASE=python@sha256:…
ARG BASE=docker.io/library/python:3.13.9-slim-trixie

# hadolint ignore=DL3006
FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY renecinfra renecinfra
COPY templates templates
COPY terraform terraform
COPY environments environments
# Into a directory of its own, which is all that the next stage takes.
RUN python -m venv /opt/renecinfra \
    && /opt/renecinfra/bin/pip install --quiet '.[aws]' \
    && /opt/renecinfra/bin/pip uninstall --quiet --yes pip

# hadolint ignore=DL3006
FROM ${BASE}
LABEL org.opencontainers.image.title="renecinfra" \
      org.opencontainers.image.licenses="Apache-2.0"
# The user of the charts' pods. It owns nothing but its workspace.
RUN groupadd --gid 10001 renecinfra \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /workspace --shell /usr/sbin/nologin renecinfra \
    && install --directory --owner 10001 --group 10001 --mode 0700 /workspace
COPY --from=build /opt/renecinfra /opt/renecinfra
ENV PATH=/opt/renecinfra/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 RENECINFRA_WORKSPACE=/workspace
WORKDIR /workspace
USER 10001:10001
ENTRYPOINT ["renecinfra"]
CMD ["--help"]
