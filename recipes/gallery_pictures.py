"""Paint the pictures of the gallery's styles: ``python recipes/gallery_pictures.py PAINTINGS STYLES [DESCRIPTOR]``.

Each style of ``gallery.sh`` gets one of the project's own scenes (examples/pictures), painted in the style of its
painting by the engine 'nnst' with large strokes and a low content weight. PAINTINGS is the folder of masterpieces that
``gallery.sh`` learns from. The style files in STYLES are written anew with their pictures, swatches and looks; styles
that have a picture are left as they are. The bundled pictures were made with the descriptor 'wide'.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import numpy as np

import impasto
from impasto.gallery import read_style_file, write_style_file
from impasto.images import encode_picture, luminance

HERE = Path(__file__).resolve().parent
SCENES = {
    "garden": "jack-pine poppies tree-of-life olive-trees houses-at-auvers",
    "swirls": "starry-night wheat-field the-scream",
    "park": "grande-jatte moulin-de-la-galette boating-party woman-with-a-parasol tahiti dance-class sainte-adresse",
    "town": "cafe-terrace rouen-cathedral night-watch",
    "harbour": "ninth-wave impression-sunrise water-lilies",
    "breakers": "great-wave shipwreck",
    "portrait": "card-players blue-dancers metzinger adele-bloch-bauer woman-with-a-hat self-portrait pearl-earring "
    "paul-guillaume",
    "still-life": "apples-and-oranges",
    "bouquet": "sunflowers irises almond-blossom childs-bath girls-at-the-piano arnolfini",
    "shapes": "composition-vii composition-viii tableau-1 edtaonisl udnie the-kiss",
}
"""Scene -> styles whose paintings resemble it."""
DARKEST = 0.25
"""Mean luminance to which darker photographs of paintings are brightened."""
SIDE = 768
STROKES = 1.25
CONTENT_WEIGHT, MORE_CONTENT = 0.25, 0.5
CLOSE = (
    "grande-jatte moulin-de-la-galette boating-party tahiti dance-class sainte-adresse olive-trees houses-at-auvers "
    "night-watch pearl-earring"
)
"""Styles with more content: with less, things of the painting, such as a chair or a turban, appear in the scene."""
LARGEST = 150_000
"""Bytes of a picture."""


def paintings() -> dict[str, str]:
    """Return style name -> name of the painting's file, as ``gallery.sh`` has them."""
    lines = re.findall(r"^learn (\S+) (\S+) ", (HERE / "gallery.sh").read_text(), re.MULTILINE)
    return {style: f"{file}.jpg" for file, style in lines}


def exposed(painting: impasto.Picture) -> impasto.Picture:
    """Return ``painting``, brightened if its photograph is too dark to see the strokes."""
    mean = float(luminance(painting.over_white).mean())
    if mean >= DARKEST:
        return painting
    return impasto.Picture(painting.over_white ** np.float32(np.log(DARKEST) / np.log(mean)))


def encoded(picture: impasto.Picture) -> bytes:
    """Return ``picture`` as JPEG of the best quality that fits."""
    data = b""
    for quality in (90, 85, 80, 75, 70, 60):
        data = encode_picture(impasto.Picture(picture.pixels), "jpeg", quality=quality)
        if len(data) <= LARGEST:
            break
    return data


def main(folder: Path, styles: Path, descriptor: str = "wide") -> None:
    """Paint for every style that has no picture yet."""
    scenes = {style: scene for scene, names in SCENES.items() for style in names.split()}
    files = paintings()
    for name, scene in scenes.items():
        path = styles / f"{name}.style"
        style = read_style_file(path)
        if style.image:
            continue
        began = time.monotonic()
        picture = impasto.stylize(
            HERE.parent / "examples" / "pictures" / f"{scene}.jpg",
            exposed(impasto.read_picture(folder / files[name])),
            engine="nnst",
            descriptor=descriptor,
            size=SIDE,
            stroke_size=STROKES,
            content_weight=MORE_CONTENT if name in CLOSE.split() else CONTENT_WEIGHT,
        )
        write_style_file(style.with_image(encoded(picture)), path)
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
