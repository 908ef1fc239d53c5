"""Requests as routes see them: without the path under which a proxy offers the service, such as '/paint'.

HEAD requests are answered by every route that answers GET.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from impasto.errors import UsageError
from impasto.service.web.access import SAFE

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from ipaddress import IPv4Network, IPv6Network

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_LONGEST = 200


class Prefix:
    """Sets the root path of each request: the one of the settings, or else the one that a trusted proxy names."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        root_path: str,
        trusted: Sequence[IPv4Network | IPv6Network],
        own: Collection[str],
    ) -> None:
        """Serve ``app`` under ``root_path``.

        Args:
            app: application to serve.
            root_path: the prefix of all requests; empty to use the one that a proxy names.
            trusted: networks of proxies that may send X-Forwarded-Prefix.
            own: paths of ``app``, such as '/v1/jobs/{job}'. A prefix that a proxy names is ignored if one of these
                paths begins with it, because a request's path would not show whether the proxy has removed the prefix.
        """
        self._app = app
        self._root_path = root_path
        self._trusted = trusted
        self._own = own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http" and (prefix := self._root_path or self._named(scope)):
            path = scope["path"]
            if path == prefix and scope["method"] in SAFE:
                path = f"{prefix}/"
            elif not path.startswith(f"{prefix}/"):  # the proxy has removed the prefix
                path = prefix + path
            scope = {**scope, "root_path": prefix, "path": path}
        await self._app(scope, receive, send)

    def _named(self, scope: Scope) -> str | None:
        given = Headers(scope=scope).get("X-Forwarded-Prefix", "").strip().rstrip("/")
        valid = len(given) <= _LONGEST and _PREFIX.fullmatch(given) and "/." not in given
        usable = valid and _beginning_with(given, self._own) is None
        return given if usable and self._is_trusted(scope) else None

    def _is_trusted(self, scope: Scope) -> bool:
        if scope["client"] is None:  # a Unix socket
            return True
        peer = ip_address(scope["client"][0])
        peer = getattr(peer, "ipv4_mapped", None) or peer
        return any(peer in network for network in self._trusted)


def check_root_path(root_path: str, own: Collection[str]) -> None:
    """Check that none of the paths ``own`` of the application begins with ``root_path``.

    Raises:
        UsageError: one begins with it.
    """
    if root_path and (path := _beginning_with(root_path, own)) is not None:
        raise UsageError(
            f"setting root_path is {root_path}, but the service's own path {path} begins with it; choose another, "
            "such as /paint"
        )


class Heads:
    """Passes HEAD to the application as GET, and leaves out the body of the response."""

    def __init__(self, app: ASGIApp) -> None:
        """Answer with the headers of ``app``."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                # The response is complete, so the application sees a disconnect and stops sending.
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        headers = [(name, value) for name, value in scope["headers"] if name != b"range"]  # which HEAD does not know
        await self._app({**scope, "method": "GET", "headers": headers}, receive, send_head)


def _beginning_with(prefix: str, paths: Collection[str]) -> str | None:
    """Return the first of ``paths``, which may have parameters such as '{job}', that begins with ``prefix``."""
    asked = prefix.split("/")
    for path in paths:
        parts = path.split("/")
        if len(parts) >= len(asked) and all(map(_matches, parts, asked)):
            return path
    return None


def _matches(part: str, asked: str) -> bool:
    return part == asked or part.startswith("{")
