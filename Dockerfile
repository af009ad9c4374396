# syntax=docker/dockerfile:1
# The image of all roles: `docker run tocsin run intake` and so on. Two stages: what builds never ships.
#
# The base is pinned by version here and by digest in the registry that you build for: `--build-arg BASE=...@sha256:...`.
ARG BASE=python:3.11.7-slim-bookworm

FROM ${BASE} AS build

# The driver's event loop in C, which is built here and checked at the end of this stage.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev libev-dev \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
RUN python -m venv /opt/tocsin/venv
ENV PATH=/opt/tocsin/venv/bin:$PATH \
    PIP_CONSTRAINT=/src/constraints.txt \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1

# What changes seldom comes first: a change of the code installs no dependency anew.
COPY constraints.txt pyproject.toml ./
COPY service/tocsin/__init__.py service/tocsin/__init__.py
RUN pip install '.[aws]' && pip uninstall --yes tocsin

COPY service service
RUN pip install --no-deps . \
    && python -c 'import cassandra.io.libevreactor, tocsin' \
    && pip check

COPY deploy/container/sbom.py ./
RUN python sbom.py >/opt/tocsin/sbom.cdx.json

FROM ${BASE}

RUN apt-get update \
    && apt-get install --yes --no-install-recommends libev4 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 tocsin \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/tocsin --shell /usr/sbin/nologin tocsin \
    && install --directory --owner 10001 --group 10001 --mode 0750 /etc/tocsin /var/lib/tocsin

COPY --from=build /opt/tocsin /opt/tocsin
COPY deploy/container/place_files.py deploy/container/health.py /opt/tocsin/

ENV PATH=/opt/tocsin/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TOCSIN_ADMIN_PORT=9080 \
    TOCSIN_DATA_DIR=/var/lib/tocsin \
    TOCSIN_REGIONS_DIR=/etc/tocsin/regions

# Volumes take over owner and rights of what is here, so that a role that is nobody special may write to them.
VOLUME ["/etc/tocsin", "/var/lib/tocsin"]
USER 10001:10001
WORKDIR /var/lib/tocsin

# Alive, not ready: a halted creator must go on trying, so nobody may restart it for that.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "/opt/tocsin/health.py"]

STOPSIGNAL SIGTERM
ENTRYPOINT ["tocsin"]
CMD ["--help"]
