# One process that serves; SQLite in /data, or DATABASE_URL and REDIS_URL.
FROM python:3.13-slim AS build
WORKDIR /source
COPY requirements.txt .
RUN python -m venv /opt/dashboard-rt && /opt/dashboard-rt/bin/pip install --no-cache-dir -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY web web
RUN /opt/dashboard-rt/bin/pip install --no-cache-dir --no-deps . && /opt/dashboard-rt/bin/pip uninstall -q -y pip

FROM python:3.13-slim
RUN useradd --uid 10001 --no-log-init --no-create-home --home-dir /data dashboard \
    && install --directory --owner dashboard --group dashboard /data
COPY --from=build /opt/dashboard-rt /opt/dashboard-rt
ENV PATH=/opt/dashboard-rt/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=3000 \
    DATABASE_URL=sqlite:////data/dashboard.db
USER dashboard
WORKDIR /data
VOLUME /data
EXPOSE 3000
# Clients are told goodbye within DRAIN_SECONDS (10): give it longer than docker's own 10 seconds (--stop-timeout 30).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/up', timeout=2)"]
CMD ["dashboard-rt", "serve"]
