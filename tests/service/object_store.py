"""An S3 server that refuses requests from a clock that is wrong by 15 minutes, as that of Amazon does.

GET /refused gives the number of requests that it has refused for this reason.

python object_store.py ADDRESS PORT
"""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, run_simple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

_MOST_SKEW = 900.0


class Skewless:
    """Hands on the requests whose signature is of about now, and those without a signature."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application
        self._refused, self._lock = 0, Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/refused":
            body = str(self._refused).encode()
            start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
            return [body]
        signed = environ.get("HTTP_X_AMZ_DATE")
        if signed is not None:
            at = datetime.strptime(signed, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            if abs((datetime.now(UTC) - at).total_seconds()) > _MOST_SKEW:
                with self._lock:
                    self._refused += 1
                body = b"<Error><Code>RequestTimeTooSkewed</Code></Error>"
                start_response(
                    "403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
                )
                return [body]
        return self._application(environ, start_response)


class _KeepsConnections(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until it is stopped."""
    address, port = sys.argv[1:]
    application = Skewless(DomainDispatcherApplication(create_backend_app))
    with suppress(KeyboardInterrupt):
        run_simple(address, int(port), application, threaded=True, request_handler=_KeepsConnections)


if __name__ == "__main__":
    main()
