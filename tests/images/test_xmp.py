"""XMP packets that others wrote: whatever they hold, a picture is read, and its metadata are strings."""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image

from impasto.images import read_picture
from impasto.images.xmp import pack, unpack

OPEN = b'<x xmlns:i="urn:impasto:metadata:1#">'


def packet(text: bytes) -> bytes:
    return OPEN + b"<i:madeBy>" + text + b"</i:madeBy></x>"


BAD = {
    "unknown encoding": b'<?xml version="1.0" encoding="no-such"?>' + packet(b"[]"),
    "encoding that packs": b'<?xml version="1.0" encoding="zlib"?>' + packet(b"[]"),
    "encoding of Python": b'<?xml version="1.0" encoding="unicode_escape"?>' + packet(b"[]"),
    "UTF-16 that is none": b'<?xml version="1.0" encoding="utf-16"?>' + packet(b"[]"),
    "deep JSON": packet(b"[" * 30_000),
    "deep JSON object": packet(b'{"a":' * 30_000),
    "deep JSON, closed": packet(b'{"a":' + b"[" * 900 + b"]" * 900 + b"}"),
    "deep XML": OPEN + b"<a>" * 100_000,
    "deep XML, closed": OPEN + b"<a>" * 20_000 + b"</a>" * 20_000 + b"</x>",
    "large number": packet(b'{"a": ' + b"9" * 10_000 + b"}"),
    "no JSON": packet(b"engine"),
    "other types": packet(b'{"a": 1, "b": null, "c": ["d"]}'),
    "a list": packet(b'["a"]'),
    "no XML": b"\xff\xfe\x00",
    "bytes that are no UTF-8": packet(b'{"a": "\xe9"}'),
    "entities": b'<!DOCTYPE a [<!ENTITY b "b">]>' + packet(b'{"a": "&b;"}'),
    "unknown entity": packet(b'{"a": "&b;"}'),
    "empty": b"",
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_bad_packets_hold_nothing(data: bytes) -> None:
    assert unpack(data) == {}
    if len(data) < 60_000:
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8)).save(buffer, "JPEG", xmp=data)
        assert read_picture(buffer.getvalue()).metadata == {}


def test_metadata_can_be_printed_and_logged() -> None:
    found = unpack(packet(rb'{"engine": "\ud800", "\udfff": "b"}'))
    assert found == {"engine": "?", "?": "b"}
    json.dumps(found, ensure_ascii=False).encode()


def test_a_claimed_encoding_is_not_needed() -> None:
    declared = b'<?xml version="1.0" encoding="latin-1"?>' + pack({"a": "é"}).split(b"?>", 1)[1]
    assert unpack(declared) == {"a": "é"}
