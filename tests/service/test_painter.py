"""What the child of a worker keeps between jobs."""

from __future__ import annotations

import pytest

from impasto.images import encode_picture, read_picture, resize_picture
from impasto.service.painter import Failure, Painted, Painter, PaintTask
from pretended_card import OUT_OF_MEMORY, Card


@pytest.fixture
def paint(photo):
    painter = Painter(2)
    content = encode_picture(resize_picture(read_picture(photo), 64, 48), "png")

    def one(engine="fast", style="great-wave", **options):
        styles = [{"name": style}] if engine == "fast" else [{"input": "content"}]
        params = {"engine": engine, "options": options, "styles": styles, "format": "png"}
        return painter.paint(PaintTask(params, {"content": content}), lambda progress: None)

    one.painter = painter
    return one


def test_jobs_share_a_network_whatever_their_options(paint):
    kept = paint.painter._networks
    assert isinstance(paint(), Painted)
    [first] = kept.values()
    weak, strong = paint(strength=0.2), paint(strength=0.9)
    assert weak.data != strong.data and list(kept.values()) == [first], "one network, two pictures"
    paint(runtime="onnxruntime")
    assert len(kept) == 2
    paint("gatys", size=32, steps=1, descriptor="compact", scales=1)
    assert len(kept) == 2 and first not in kept.values(), "the one that was not used for the longest time is gone"


def test_a_network_whose_gpu_was_full_is_not_kept(paint, monkeypatch):
    card = Card(monkeypatch, running=OUT_OF_MEMORY)
    assert isinstance(paint(runtime="onnxruntime"), Painted)
    first = len(card.opened)
    assert isinstance(paint(runtime="onnxruntime"), Painted)
    assert card.opened[first] == card.opened[0], "the next job tries the GPU again"


def test_what_cannot_be_painted_has_a_code(paint):
    assert paint(style="nobody-knows") == Failure("unknown_name", paint(style="nobody-knows").text, again=False)
    assert paint(strength=7).code == "bad_option"
