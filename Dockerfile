FROM python:3.11-slim-bookworm
RUN useradd --create-home slowpost
WORKDIR /app
COPY constraints.txt setup.cfg pyproject.toml README.md LICENSE ./
COPY models models
COPY pipeline pipeline
COPY actors actors
COPY schedules schedules
COPY slowpost slowpost
RUN pip install --no-cache-dir -c constraints.txt .
USER slowpost
ENTRYPOINT ["slowpost"]
CMD ["worker"]
