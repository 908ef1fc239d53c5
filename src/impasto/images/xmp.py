"""Metadata of a picture in the XMP packet of its file.

The mapping is stored as JSON text in one property, because XML cannot represent every character of a value.
"""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from impasto.files import beside

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

XMP_FIELD = "xmp-data"
_LARGEST = 1 << 24
"""Largest packet in bytes that is read."""

_NAMESPACE = "urn:impasto:metadata:1#"
_PROPERTY = f"{{{_NAMESPACE}}}madeBy"
_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:impasto="{namespace}"><impasto:madeBy>{text}</impasto:madeBy>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""


def pack(metadata: Mapping[str, str]) -> bytes:
    """Return the XMP packet that holds ``metadata``."""
    text = escape(json.dumps(dict(metadata)), quote=False)
    return _PACKET.format(namespace=_NAMESPACE, text=text).encode()


def packet_of(image: Any) -> bytes:
    """Return the XMP packet of a libvips image; empty if there is none."""
    packet: bytes = image.get(XMP_FIELD) if image.get_typeof(XMP_FIELD) else b""
    return packet


def sidecar(path: Path) -> Path:
    """Return the sidecar file, which holds the packet of a picture whose format cannot hold it."""
    return beside(path, ".xmp")


def unpack(packet: bytes) -> dict[str, str]:
    """Return the metadata that impasto wrote into an XMP packet; {} if there are none, or if the packet is broken."""
    if len(packet) > _LARGEST or b"<!DOCTYPE" in packet:  # against entities, which XMP writers do not use
        return {}
    found = _Found()
    # The encoding that a packet claims is not tried, because Python would look for any codec of that name.
    parser = ElementTree.XMLParser(target=found, encoding="utf-8")
    try:
        parser.feed(packet.strip(b"\0"))
        parser.close()
        metadata = json.loads(found.texts[0]) if found.texts else {}
    except (ElementTree.ParseError, ValueError, RecursionError):
        return {}
    if not isinstance(metadata, dict):
        return {}
    return {_plain(key): _plain(value) for key, value in metadata.items() if isinstance(value, str)}


class _Found:
    """Collects the texts of `_PROPERTY` from a packet. No tree is built, as it could be of any depth."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._inside = False

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        # Other tools that rewrite a packet may turn the element into an attribute.
        if _PROPERTY in attributes:
            self.texts.append(attributes[_PROPERTY])
        self._inside = tag == _PROPERTY
        if self._inside:
            self.texts.append("")

    def data(self, text: str) -> None:
        if self._inside:
            self.texts[-1] += text

    def end(self, tag: str) -> None:
        del tag
        self._inside = False

    def close(self) -> None:
        pass


def _plain(text: str) -> str:
    """Return ``text`` without lone surrogates, which cannot be written to files or terminals."""
    return text.encode("utf-8", "replace").decode()
