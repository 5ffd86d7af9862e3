# syntax=docker/dockerfile:1
# One image for everything: `automart up` (all of Automart, with SQLite and an embedded Redis), and
# each process on its own: `gunicorn wsgi:app`, `python worker.py`, `flask --app wsgi db upgrade`.
# docs/deploy.md describes how to run it.

FROM python:3.13-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /app
# Without pip: the last stage copies this environment and must not install anything.
RUN python -m venv --without-pip /venv
COPY requirements/base.txt requirements/
# Wheels only: nothing is compiled, and no setup script of a package runs.
RUN python -m pip --python /venv/bin/python install \
        --require-hashes --no-deps --only-binary :all: --requirement requirements/base.txt
COPY pyproject.toml README.md LICENSE gunicorn.conf.py wsgi.py worker.py ./
COPY automart automart
COPY jobs jobs
COPY sandbox sandbox
COPY migrations migrations
COPY deploy/healthcheck.py deploy/checkout.py deploy/
# Editable: migrations and gunicorn.conf.py are in /app, outside the packages.
RUN python -m pip --python /venv/bin/python install --no-deps --editable . \
    && /venv/bin/python -m compileall -q automart jobs sandbox migrations

FROM python:3.13-slim-bookworm
ARG VERSION=development
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Automart" \
      org.opencontainers.image.description="REST API for the back office of a car business" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN python -m pip uninstall --yes --quiet --root-user-action ignore pip
COPY --from=build /venv /venv
COPY --from=build /app /app
# A new volume takes over the owner of the folder.
RUN mkdir /app/instance && chown 10001:10001 /app/instance
WORKDIR /app
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    PORT=8000
# A number, so that Kubernetes can verify that it is not root.
USER 10001:10001
# The default database, photos, secret and Redis. Everything else except /tmp is read-only.
VOLUME /app/instance
EXPOSE 8000
# A worker needs 20 seconds to hand back a long job, and the web 30 to finish its requests.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "deploy/healthcheck.py"]
CMD ["automart", "up", "--host", "0.0.0.0"]
