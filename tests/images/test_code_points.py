"""Pictures whose colours are stated by code points: a high dynamic range, or wide primaries without a profile."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
import pyvips

from impasto.images import read_picture
from impasto.images.code_points import hlg_light, pq_light

SDR_WHITE = 0.75
"""What the reference white of 203 cd/m² becomes."""


def png(levels, *points):
    """A PNG file of these 16-bit ``levels``, each a patch, with a chunk cICP of ``points`` if there are any."""
    pixels = np.repeat(np.repeat(np.asarray(levels, np.uint16)[None], 16, 0), 16, 1)
    data = pyvips.Image.new_from_array(pixels).copy(interpretation="rgb16").pngsave_buffer()
    if not points:
        return data
    chunk = b"cICP" + bytes([*points, 0, 1])
    after_header = 8 + 25
    crc = zlib.crc32(chunk).to_bytes(4)
    return data[:after_header] + (4).to_bytes(4) + chunk + crc + data[after_header:]


def grey(level):
    return [round(65535 * level)] * 3


def patches(data):
    return read_picture(data).pixels[8, 8::16]


@pytest.mark.parametrize(("transfer", "light"), [(16, pq_light), (18, hlg_light)], ids=["PQ", "HLG"])
def test_a_high_dynamic_range_becomes_srgb(transfer, light):
    levels = np.linspace(0, 1, 2001)
    codes = [float(np.interp(nits, light(levels), levels)) for nits in (0, 10, 203, 1000)]
    found = patches(png([grey(code) for code in codes], 9, transfer))
    assert np.abs(found - found[:, :1]).max() < 0.005  # grey stays grey
    black, dark, white, peak = found[:, 0]
    assert black < 0.002 and white == pytest.approx(SDR_WHITE, abs=0.01) and peak == pytest.approx(1, abs=0.01)
    assert dark == pytest.approx(0.23, abs=0.03)
    # As coded, the reference white is a middle grey.
    assert patches(png([grey(codes[2])]))[0, 0] == pytest.approx(codes[2], abs=1e-3)


def test_colours_of_bt_2020_are_those_of_srgb():
    levels = np.linspace(0, 1, 4001)
    code = float(np.interp(100, pq_light(levels), levels))
    red, as_srgb = (patches(png([[round(65535 * code), 0, 0]], primaries, 16))[0] for primaries in (9, 1))
    assert red[0] > as_srgb[0] and red[1] == 0 == as_srgb[1]


def test_p3_without_a_profile_is_that_of_the_profile():
    levels = [[65535, 0, 0], [20000, 50000, 10000]]
    tagged = pyvips.Image.new_from_buffer(png(levels), "").copy()
    tagged.set_type(pyvips.GValue.blob_type, "icc-profile-data", pyvips.Image.profile_load("p3"))
    stated = read_picture(png(levels, 12, 13))
    expected = read_picture(tagged.pngsave_buffer())
    np.testing.assert_allclose(stated.pixels, expected.pixels, atol=1e-4)
    assert stated.icc == expected.icc is not None


def test_heic_in_pq():
    heif = pytest.importorskip("pillow_heif")
    from PIL import Image

    level = round(255 * float(np.interp(203, pq_light(np.linspace(0, 1, 2001)), np.linspace(0, 1, 2001))))
    heif.register_heif_opener()
    file = io.BytesIO()
    picture = Image.new("RGB", (64, 64), (level,) * 3)
    picture.save(file, "HEIF", quality=-1, color_primaries=9, transfer_characteristics=16, matrix_coefficients=9)
    assert read_picture(file.getvalue()).pixels.mean() == pytest.approx(SDR_WHITE, abs=0.03)
