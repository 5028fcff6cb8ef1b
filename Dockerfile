FROM python:3.11.13-slim-bookworm@sha256:86adf8dbadc3d6e82ee5dd2c74bec2e1c2467cdad47886280501df722372d2e1
RUN useradd --create-home slowpost
WORKDIR /app
# What pip fetches has to have the hashes that are written down here; Slowpost itself, which has none, fetches nothing.
COPY requirements.txt ./
# dkimpy comes as source: without build isolation the image's own setuptools builds it, and no other is fetched for that.
RUN pip install --no-cache-dir --require-hashes --no-build-isolation -r requirements.txt
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY models models
COPY pipeline pipeline
COPY actors actors
COPY schedules schedules
COPY slowpost slowpost
RUN pip install --no-cache-dir --no-deps --no-build-isolation .
USER slowpost
ENTRYPOINT ["slowpost"]
CMD ["worker"]
