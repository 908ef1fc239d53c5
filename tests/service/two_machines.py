"""Two network namespaces of Linux, joined by a link: two machines, as far as the network can tell."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLONE_NEWNET = 0x40000000
_ADDRESSES = ("10.213.7.1", "10.213.7.2")
SERVERS = "10.213.8.1"
"""Address of the servers on the first machine. It is not that of the link, so that they have it while the link is
down."""
NETWORK = "10.213.0.0/16"


def obstacle() -> str | None:
    """Return why there can be no two machines here; None if there can."""
    if sys.platform != "linux":
        return "two machines need the network namespaces of Linux"
    if os.geteuid() != 0:
        return "network namespaces are made by root only: run this as root"
    if shutil.which("ip") is None:
        return "the command 'ip' is missing: install iproute2"
    if faketime() is None:
        return "libfaketime, which gives a process a wrong clock, is missing: install faketime"
    probe = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    return "network namespaces may not be made in this container" if probe.returncode else None


def faketime() -> Path | None:
    """Return the library that gives a process a wrong clock; None if it is not installed."""
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


@dataclass(frozen=True)
class Machine:
    """A network namespace with one end of the link."""

    namespace: str
    link: str
    gateway: str | None = None
    """The way to `SERVERS`, if they are not on this machine."""

    def command(self, *command: str) -> list[str]:
        """Return ``command`` as it has to be called to run on this machine."""
        return ["ip", "netns", "exec", self.namespace, *command]

    def enter(self) -> None:
        """Let the calling thread, and what it starts, use the network of this machine."""
        libc = ctypes.CDLL(None, use_errno=True)
        with Path("/run/netns", self.namespace).open() as namespace:
            if libc.setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"cannot enter {self.namespace}")

    def set_link(self, *, up: bool) -> None:
        _ip("-n", self.namespace, "link", "set", self.link, "up" if up else "down")
        if up and self.gateway is not None:  # the route went with the link
            _ip("-n", self.namespace, "route", "replace", f"{SERVERS}/32", "via", self.gateway)


@contextmanager
def two_machines() -> Iterator[tuple[Machine, Machine]]:
    """Make two machines; the servers of the first have the address `SERVERS`, which both can reach."""
    first = Machine(f"impasto-first-{os.getpid()}", "first")
    second = Machine(f"impasto-second-{os.getpid()}", "second", gateway=_ADDRESSES[0])
    try:
        for machine in (first, second):
            _ip("netns", "add", machine.namespace)
            _ip("-n", machine.namespace, "link", "set", "lo", "up")
        names = ["name", first.link, "netns", first.namespace, "type", "veth"]
        _ip("link", "add", *names, "peer", "name", second.link, "netns", second.namespace)
        for machine, address in zip((first, second), _ADDRESSES, strict=True):
            _ip("-n", machine.namespace, "address", "add", f"{address}/24", "dev", machine.link)
        _ip("-n", first.namespace, "address", "add", f"{SERVERS}/32", "dev", "lo")
        for machine in (first, second):
            machine.set_link(up=True)
        yield first, second
    finally:
        for machine in (first, second):
            subprocess.run(["ip", "netns", "delete", machine.namespace], capture_output=True, check=False)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
