"""Pictures that are broken, or made to break us: each is refused with a code, and the server goes on."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from itertools import pairwise

import numpy as np
import psutil
import pytest
from PIL import Image

from service.servers import running_server, wait_for

pytestmark = pytest.mark.slow

MEMORY = 3 << 29
"""Bytes that the process may have that decodes pictures of strangers."""
CODES = {"bad_image", "image_too_large", "image_too_small", "decode_failed"}
CUTS, FLIPS = 48, 24


def saved(form: str, size=(96, 64), **options) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


WHOLE = {
    "png": saved("PNG"),
    "jpeg": saved("JPEG"),
    "progressive jpeg": saved("JPEG", progressive=True),
    "webp": saved("WEBP"),
    "lossless webp": saved("WEBP", lossless=True),
    "gif": saved("GIF"),
    "tiff": saved("TIFF"),
    "lzw tiff": saved("TIFF", compression="tiff_lzw"),
    "deflated tiff": saved("TIFF", compression="tiff_adobe_deflate"),
}


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *between: bytes, pixels: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(pixels))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(between) + data + chunk(b"IEND", b"")


def jpeg_of_size(width: int, height: int) -> bytes:
    data = WHOLE["jpeg"]
    frame = data.index(b"\xff\xc0")
    return data[: frame + 5] + struct.pack(">HH", height, width) + data[frame + 9 :]


def tiff_with(tag: int, value: int) -> bytes:
    data = bytearray(WHOLE["tiff"])
    start = struct.unpack_from("<I", data, 4)[0]
    for entry in range(struct.unpack_from("<H", data, start)[0]):
        at = start + 2 + 12 * entry
        if struct.unpack_from("<H", data, at)[0] == tag:
            struct.pack_into("<HII", data, at + 2, 4, 1, value)
    return bytes(data)


def gif_of_size(width: int, height: int) -> bytes:
    return WHOLE["gif"][:6] + struct.pack("<HH", width, height) + WHOLE["gif"][10:]


def webp_of_size(width: int, height: int) -> bytes:
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4)
    body += struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3] + WHOLE["webp"][12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("a.txt", "a")
    return file.getvalue()


def refused() -> dict[str, bytes]:
    """Pictures that nobody can paint."""
    found = {}
    for name, data in WHOLE.items():
        for number in range(CUTS):
            found[f"{name}, cut at {number}/{CUTS}"] = data[: len(data) * number // CUTS]
        for length in (2, 4, 8):
            found[f"{name} without its first {length} bytes"] = bytes(length) + data[length:]
    for (one, head), (another, tail) in pairwise(WHOLE.items()):
        if one.split()[-1] != another.split()[-1]:
            found[f"head of {one}, body of {another}"] = head[:12] + tail[12:]
    randoms = random.Random(0)
    found |= {f"noise {number}": randoms.randbytes(1 + 50 * number) for number in range(30)}
    black = bytes(1 + 3 * 20_000) * 20_000
    found |= {
        "a bomb of pixels": png(20_000, 20_000, pixels=black),
        "png of 2^31 pixels a side": png(2**31 - 1, 2**31 - 1),
        "png of 2^32 pixels a side": png(2**32 - 1, 2**32 - 1),
        "long png": png(12_001, 16, pixels=bytes((1 + 3 * 12_001) * 16)),
        "png without pixels": png(64, 64),
        "large jpeg without pixels": jpeg_of_size(65_500, 65_500),
        "large webp": webp_of_size(16_383, 16_383),
        "tiff of many rows": tiff_with(257, 1 << 30),
        "tiff of many columns": tiff_with(256, 1 << 30),
        "tiff of a billion samples": tiff_with(277, 1 << 30),
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"/>',
        "svg of laughs": b'<!DOCTYPE s [<!ENTITY a "haha"><!ENTITY b "&a;&a;">]><svg width="64" height="64">&b;</svg>',
        "pdf": b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\n%%EOF",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\nshowpage\n",
        "html": b"<!DOCTYPE html><script>alert(1)</script>",
        "program": b"\x7fELF" + bytes(200),
        "archive": archive(),
        "film": b"\x00\x00\x00\x18ftypmp42" + bytes(100),
        "bmp": saved("BMP"),
        "ico": saved("ICO"),
        "ppm": saved("PPM"),
        "tga": saved("TGA"),
        "openexr": b"\x76\x2f\x31\x01" + bytes(200),
        "photoshop": b"8BPS\x00\x01" + bytes(200),
        "matlab": b"MATLAB 5.0 MAT-file" + bytes(200),
        "raw numbers": b"64 64 0.5 0.5",
        "too small": png(8, 8, pixels=bytes((1 + 3 * 8) * 8)),
    }
    for width, height in ((0, 0), (0, 64), (64, 0)):
        found[f"png of {width}x{height}"] = png(width, height)
        found[f"jpeg of {width}x{height}"] = jpeg_of_size(width, height)
        found[f"tiff of {width}x{height}"] = tiff_with(256 if width == 0 else 257, 0)
    return found


def doubtful() -> dict[str, bytes]:
    """Pictures that may be taken or not; whatever is taken can be painted, or fails as its sender's affair."""
    found, randoms = {}, random.Random(1)
    for name, data in WHOLE.items():
        for number in range(FLIPS):
            damaged = bytearray(data)
            for _ in range(1 + number // 4):
                damaged[randoms.randrange(len(damaged))] ^= 1 << randoms.randrange(8)
            found[f"{name}, damaged {number}"] = bytes(damaged)
    plain = bytes((1 + 3 * 64) * 64)
    text = b"a\0\0" + zlib.compress(bytes(100 << 20))
    return found | {
        "gif that lies about its size": gif_of_size(65_535, 65_535),
        "a bomb of text": png(64, 64, chunk(b"zTXt", text), pixels=plain),
        "a bomb of a profile": png(64, 64, chunk(b"iCCP", text), pixels=plain),
        "a profile that is none": png(64, 64, chunk(b"iCCP", b"a\0\0" + zlib.compress(b"none")), pixels=plain),
        "jpeg with a profile that is none": saved("JPEG", icc_profile=b"none" * 100),
        "jpeg with a large profile": saved("JPEG", icc_profile=bytes(1 << 20)),
        "jpeg with a strange exif": saved("JPEG", exif=b"Exif\0\0MM\0\x2a" + bytes(200)),
        "jpeg and archive": WHOLE["jpeg"] + archive(),
        "gif and script": WHOLE["gif"] + b"<script>alert(1)</script>",
        "png and page": WHOLE["png"] + b"<!DOCTYPE html><script>alert(1)</script>",
        "gif of many frames": saved(
            "GIF", append_images=[Image.new("RGB", (96, 64), (n, 0, 0)) for n in range(200)], save_all=True
        ),
        "tiff of many pages": saved(
            "TIFF", append_images=[Image.new("RGB", (96, 64), (n, 0, 0)) for n in range(50)], save_all=True
        ),
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMPASTO_PER_MINUTE", "100000")
        with running_server(tmp_path_factory.mktemp("service")) as client:
            yield client


def send(server, content):
    files = {"content": ("x", content, "application/octet-stream")}
    return server.post("/v1/jobs", files=files, data={"style": "great-wave", "size": "48"})


def decoder(server):
    """The child of the server that decodes."""
    port = str(server.base_url.port)
    parent = next(each for each in psutil.process_iter() if {"serve", port} <= set(each.cmdline()))
    found = [each for each in parent.children() if not each.children() and "spawn_main" in " ".join(each.cmdline())]
    return max(found, key=psutil.Process.create_time)


def test_malformed_pictures_are_refused_with_a_code(server):
    pictures = refused()
    assert len(pictures) >= 500
    codes = {}
    for name, content in pictures.items():
        answer = send(server, content)
        assert 400 <= answer.status_code < 500, (name, answer.status_code, answer.text)
        codes[name] = answer.json()["code"]
    assert set(codes.values()) <= CODES, {name: code for name, code in codes.items() if code not in CODES}
    assert codes["a bomb of pixels"] == codes["large jpeg without pixels"] == codes["long png"] == "image_too_large"
    assert codes["too small"] == "image_too_small" and codes["svg"] == "bad_image"
    most = decoder(server).memory_info()
    assert most.vms <= MEMORY
    assert send(server, WHOLE["png"]).status_code == 202


def test_what_is_taken_can_be_painted(server):
    jobs = {}
    for name, content in doubtful().items():
        answer = send(server, content)
        assert answer.status_code == 202 or 400 <= answer.status_code < 500, (name, answer.text)
        if answer.status_code == 202:
            jobs[name] = answer.json()["id"]
        else:
            assert answer.json()["code"] in CODES, (name, answer.text)
    assert jobs.keys() >= {"jpeg and archive", "gif and script", "png and page", "a profile that is none"}

    for state in ("queued", "running"):
        wait_for(lambda state=state: not server.get(f"/v1/jobs?state={state}").json()["jobs"], seconds=300, what=state)
    found = {name: server.get(f"/v1/jobs/{job}").json() for name, job in jobs.items()}
    assert {name: job["error"] for name, job in found.items() if job["state"] != "succeeded"} == {}
    assert {job["attempt"] for job in found.values()} == {1}, "no picture has killed a worker"
