"""Delivery by webhook, as specified by https://www.standardwebhooks.com."""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, zip_longest
from threading import Event, Thread
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from standardwebhooks import Webhook

from impasto.errors import UsageError
from impasto.service.delivery import NotDeliveredError
from impasto.service.settings import WRITTEN_AS_BASE64

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from impasto.service.jobs import Delivery
    from impasto.service.settings import Settings
    from impasto.service.signing import Signer

_TRIED = 4
"""Largest number of addresses of a host that are tried."""
_LONGEST_URL = 2000
_LARGEST_REPLY = 64 << 10
_GONE = 410
_SIX_TO_FOUR, _TEREDO = ipaddress.ip_network("2002::/16"), ipaddress.ip_network("2001::/32")
_NAT64 = [ipaddress.ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48")]
_COMPATIBLE = ipaddress.ip_network("::/96")
_SITE_LOCAL = ipaddress.ip_network("fec0::/10")
_ISATAP = 0x5EFE


def check_url(url: str, *, plain: bool = False) -> str:
    """Check that ``url`` is a valid webhook address, and return it. If ``plain``, an http address is valid too.

    Raises:
        UsageError: it is not an https address of a host.
    """
    schemes = ("https", "http") if plain else ("https",)
    try:
        parts = urlsplit(url)
        right = parts.scheme in schemes and parts.hostname and parts.hostname.encode("idna") and parts.port != 0
    except ValueError:  # includes UnicodeError, for an invalid host name
        right = False
    if not right or parts.username is not None or len(url) > _LONGEST_URL or not url.isascii() or not url.isprintable():
        kinds = " or ".join(f"{scheme}://" for scheme in schemes)
        raise UsageError(f"webhook must be an {kinds} URL with a host and without a user name or password")
    return url


def is_public(address: str) -> bool:
    """Return whether an IP address, or the IPv4 address embedded in it, belongs to the public internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        within = _embedded(ip)
        if within is not None:
            return is_public(str(within))
        if ip in _SITE_LOCAL:  # deprecated, and still routed in some networks
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _embedded(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    low = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip in _SIX_TO_FOUR:
        return ip.sixtofour
    if ip in _TEREDO:
        return ip.teredo[1] if ip.teredo else low
    if any(ip in network for network in _NAT64):
        return low
    if ip in _COMPATIBLE or (int(ip) >> 32) & 0xFFFF == _ISATAP:
        return low
    return None


@dataclass(frozen=True)
class WebhookSender:
    """Sends a message as a POST request, without following redirects, and only to addresses that it has checked."""

    settings: Settings
    signer: Signer
    seconds: float = 10.0
    """Time limit of a delivery after the host name is resolved, so that a slow host does not delay other messages."""

    def send(self, delivery: Delivery, picture: Callable[[], bytes | None]) -> None:
        """See `impasto.service.delivery.Sender`. A link to the picture is sent instead of the picture."""
        del picture
        url = urlsplit(delivery.destination)
        encrypted = url.scheme == "https"
        host, port = url.hostname or "", url.port or (443 if encrypted else 80)
        body = self._body(delivery)
        identity, now = delivery.identity, int(delivery.begun)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "impasto",
            "webhook-id": identity,
            "webhook-timestamp": str(now),
            "webhook-signature": sign(self.settings.webhook_secret or "", identity, now, body),
        }
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        try:
            addresses = self._addresses(host, port)
            with _Pinned(host, port, addresses, seconds=self.seconds, encrypted=encrypted) as connection:
                connection.request("POST", target, body, headers)
                with connection.getresponse() as reply:
                    reply.read(_LARGEST_REPLY)
        except (OSError, http.client.HTTPException) as error:
            raise NotDeliveredError(type(error).__name__, str(error)) from error
        if not 200 <= reply.status < 300:
            raise NotDeliveredError(str(reply.status), reply.reason, permanent=reply.status == _GONE)

    def _addresses(self, host: str, port: int) -> list[str]:
        found: dict[int, list[str]] = {}
        for family, *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            found.setdefault(family, []).append(str(address[0]))
        if not self.settings.webhook_private and not all(is_public(each) for each in chain(*found.values())):
            raise NotDeliveredError("private address", f"{host} is not on the public internet", permanent=True)
        # Address families alternate, because this machine may have no route to one of them, such as IPv6.
        return [each for turn in zip_longest(*found.values()) for each in turn if each is not None][:_TRIED]

    def _body(self, delivery: Delivery) -> bytes:
        job = delivery.job
        link = self.signer.result(job)
        data: dict[str, object] = {"id": job.id, "state": job.state}
        if link is not None:
            data |= {"result": self.settings.public_url + link, "sha256": job.result_sha256}
        if job.error_code is not None:
            data["error"] = {"code": job.error_code, "text": job.error_text}
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(job.finished))
        return json.dumps({"type": f"job.{job.state}", "timestamp": moment, "data": data}).encode()


def sign(secret: str, identity: str, timestamp: int, body: bytes) -> str:
    """Return the value of 'webhook-signature': HMAC-SHA256 of id, time and body.

    ``secret`` is 'whsec_' and the key in base64, as in the standard, or any other text, which is the key itself.
    """
    key = secret if secret.startswith(WRITTEN_AS_BASE64) else secret.encode()
    return Webhook(key).sign(identity, datetime.fromtimestamp(timestamp, UTC), body.decode())


class _Pinned(http.client.HTTPSConnection):
    """Connects to the first of the given IP addresses that answers, without resolving the host name again.

    The connection is shut down when the time for a delivery is over. A timeout of each read would not end a connection
    that receives a byte now and then.
    """

    def __init__(self, host: str, port: int, addresses: Sequence[str], *, seconds: float, encrypted: bool) -> None:
        self._tls = ssl.create_default_context()
        super().__init__(host, port, context=self._tls)
        self.default_port = http.client.HTTPS_PORT if encrypted else http.client.HTTP_PORT  # omitted in the header Host
        self._encrypted = encrypted
        self._addresses = addresses
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self._over = Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.close()

    def connect(self) -> None:
        plain = self._reach()
        line = plain.dup()  # a second handle, because wrap_socket takes over the first
        Thread(target=self._cut_off, args=(line,), name="webhook", daemon=True).start()
        plain.settimeout(self._seconds)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host) if self._encrypted else plain

    def _reach(self) -> socket.socket:
        problem = OSError("the host has no address")
        for tried, address in enumerate(self._addresses):
            share = (self._until - time.monotonic()) / (len(self._addresses) - tried)
            try:
                return socket.create_connection((address, self.port), max(share, 0.1))
            except OSError as error:
                problem = error
        raise problem

    def _cut_off(self, line: socket.socket) -> None:
        with line:
            if not self._over.wait(self._until - time.monotonic()):
                with suppress(OSError):  # the connection has ended already
                    line.shutdown(socket.SHUT_RDWR)
