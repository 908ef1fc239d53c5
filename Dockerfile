# The service in one image: `serve`, `worker`, `keys` and `doctor` are its commands.
FROM python:3.13-slim AS build
COPY . /source
RUN python -m venv /opt/impasto && /opt/impasto/bin/pip install --no-cache-dir '/source[serve,postgres,celery,s3]'

FROM python:3.13-slim
COPY --from=build /opt/impasto /opt/impasto
RUN useradd --uid 10001 impasto && install --directory --owner impasto /data
ENV PATH=/opt/impasto/bin:$PATH IMPASTO_DATA_DIR=/data IMPASTO_LOG_FORMAT=json XDG_CACHE_HOME=/tmp
USER impasto
VOLUME /data
EXPOSE 8765
ENTRYPOINT ["impasto"]
# Only with --auth does it listen on an address that others reach.
CMD ["serve", "--host", "0.0.0.0", "--auth"]
