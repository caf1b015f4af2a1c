# syntax=docker/dockerfile:1
# One image for `farebox serve`, `farebox ledger`, `farebox migrate` and all other commands. It runs as a user of its own,
# writes to /var/lib/farebox and /tmp only, and calls no shell. To pin the base, ask your registry which digest it is
# (`docker buildx imagetools inspect python:3.12-slim-bookworm`) and say --build-arg BASE=python:3.12-slim-bookworm@sha256:…
ARG BASE=python:3.12-slim-bookworm

# hadolint ignore=DL3006
FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN ["python", "-m", "venv", "--without-pip", "/opt/farebox"]
# first what changes rarely; every file is held against its hash
COPY requirements-server.lock ./
RUN ["pip", "--python", "/opt/farebox/bin/python", "install", "--require-hashes", "--only-binary", ":all:", \
     "-r", "requirements-server.lock"]
COPY pyproject.toml README.md LICENSE ./
COPY runtime ./runtime
COPY ledger ./ledger
COPY metering ./metering
COPY accounts ./accounts
COPY proxy ./proxy
RUN ["pip", "--python", "/opt/farebox/bin/python", "install", "--no-deps", "--no-build-isolation", "."]
# what only builds; apart from the above, which is to stand in a layer of its own
# hadolint ignore=DL3059
RUN ["pip", "--python", "/opt/farebox/bin/python", "uninstall", "--yes", \
     "hatchling", "editables", "pathspec", "pluggy", "tomlkit", "trove-classifiers"]

# hadolint ignore=DL3006
FROM ${BASE}
LABEL org.opencontainers.image.title="Farebox" \
      org.opencontainers.image.description="A metering proxy in front of an LLM server" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/farebox /opt/farebox
COPY config.yaml /etc/farebox/config.yaml
# 10001: a number that no host has a user for
RUN ["install", "-d", "-o", "10001", "-g", "10001", "-m", "0700", "/var/lib/farebox"]
ENV PATH=/opt/farebox/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FAREBOX_CONFIG=/etc/farebox/config.yaml \
    FAREBOX_PORT=8080 \
    FAREBOX_SPOOL_DIR=/var/lib/farebox/spool
# ended requests that Redis could not take; see docs/DEPLOYING.md
VOLUME /var/lib/farebox
WORKDIR /var/lib/farebox
USER 10001:10001
EXPOSE 8080
# drains, settles, exits 0; give it as long as docs/DEPLOYING.md says
STOPSIGNAL SIGTERM
# does the process live; whether it can serve is /readyz's to say. A ledger has no port: switch it off there
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["python", "-c", \
    "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['FAREBOX_PORT'] + '/healthz', timeout=3)"]
ENTRYPOINT ["farebox"]
CMD ["serve"]
