"""
A first picture, and its controls
=================================

Painting a photograph in the style of a painting, then trying what changes the result.
"""

# %%
# A picture comes from a file, from bytes, from PIL or from an array; it shows itself in a notebook. Here both
# are drawings of this repository.

from pathlib import Path

import matplotlib.pyplot as plt

import impasto

pictures = Path("../../examples/pictures")
content = impasto.read_picture(pictures / "harbour.jpg")
style = impasto.read_picture(pictures / "swirls.jpg")


def show(*columns: tuple[str, impasto.Picture]) -> None:
    """Draw pictures side by side, each under its title."""
    _, axes = plt.subplots(1, len(columns), figsize=(4 * len(columns), 3.2), layout="constrained")
    for axis, (title, picture) in zip(axes, columns, strict=True):
        axis.imshow(picture.pixels)
        axis.set_title(title)
        axis.axis("off")


# %%
# One call paints. The default engine needs no download; it takes some seconds, more for larger pictures.

painted = impasto.stylize(content, style, size=192)
show(("content", content), ("style", style), ("painted", painted))

# %%
# ``strength`` goes from the photograph, exactly, to as far as the engine goes, which is the default.

weaker = ((f"strength {value}", impasto.stylize(content, style, size=192, strength=value)) for value in (0.25, 0.5))
show(*weaker, ("strength 1.0", painted))

# %%
# The photograph's colours can be kept: its hues as they are, or only their mean and spread.

modes = ("luminance", "histogram")
kept = ((f"keep_colors {mode}", impasto.stylize(content, style, size=192, keep_colors=mode)) for mode in modes)
show(("keep_colors none", painted), *kept)

# %%
# Strokes are as large as the style is seen.

small, large = (impasto.stylize(content, style, size=192, stroke_size=value) for value in (0.5, 2.0))
show(("stroke_size 0.5", small), ("stroke_size 1.0", painted), ("stroke_size 2.0", large))

# %%
# Styles of the gallery have names; several styles are mixed by their weights.

mixed = impasto.stylize(content, [("great-wave", 2), ("starry-night", 1)], size=192)
show(
    ("great-wave", impasto.stylize(content, "great-wave", size=192)),
    ("two to one", mixed),
    ("starry-night", impasto.stylize(content, "starry-night", size=192)),
)

# %%
# A result knows how it was painted; written to a file, ``impasto stylize --from`` paints it again.

for name, value in painted.metadata.items():
    print(f"{name}: {value[:70]}")
