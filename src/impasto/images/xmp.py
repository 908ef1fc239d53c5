"""Metadata of a picture in the XMP packet of its file.

The mapping is stored as JSON text in one property, because XML cannot represent every character of a value.
"""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

XMP_FIELD = "xmp-data"

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
    packet: bytes = image.get(XMP_FIELD) if XMP_FIELD in image.get_fields() else b""
    return packet


def sidecar(path: Path) -> Path:
    """Return the sidecar file, which holds the packet of a picture whose format cannot hold it."""
    return path.with_name(f"{path.name}.xmp")


def unpack(packet: bytes) -> dict[str, str]:
    """Return the metadata that impasto wrote into an XMP packet; {} if there is none."""
    if b"<!DOCTYPE" in packet:  # guards against entity expansion; XMP writers use no entities
        return {}
    try:
        root = ElementTree.fromstring(packet.strip(b"\0"))
        # Other tools that rewrite a packet may turn the element into an attribute.
        texts = [node.text or "" for node in root.iter(_PROPERTY)]
        texts += [node.attrib[_PROPERTY] for node in root.iter() if _PROPERTY in node.attrib]
        metadata = json.loads(texts[0]) if texts else {}
    except (ElementTree.ParseError, ValueError):
        return {}
    return {str(key): str(value) for key, value in metadata.items()} if isinstance(metadata, dict) else {}
