"""
A style of one's own, learned
=============================

The engine ``fast`` predicts the code of any painting. A code that is learned for some minutes comes nearer;
here it learns for some
seconds.
"""

# %%
# ``impasto styles learn`` does this on the command line; in Python, the pieces are these.

import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

import impasto
from impasto.gallery import read_style_file

pictures = Path("../../examples/pictures")
folder = Path(tempfile.mkdtemp())
learned = folder / "swirls.style"
command = [sys.executable, "-m", "impasto", "styles", "learn", str(pictures / "swirls.jpg"), "-o", str(learned)]
subprocess.run(
    [*command, "--judge", "compact", "--steps", "6", "--side", "128", "--quiet"], check=True, capture_output=True
)
style = read_style_file(learned)
print(f"{style.name}: {len(style.code)} numbers, {learned.stat().st_size} bytes")

# %%
# The file is the style: it can be given away, mixed and weighted like any other.

content = impasto.read_picture(pictures / "harbour.jpg")
painted = {
    "predicted": impasto.stylize(content, pictures / "swirls.jpg", engine="fast", size=256),
    "learned, 6 steps": impasto.stylize(content, learned, engine="fast", size=256),
    "half great-wave": impasto.stylize(content, [learned, "great-wave"], engine="fast", size=256),
}
figure, axes = plt.subplots(1, 3, figsize=(12, 3.2), layout="constrained")
for axis, (title, picture) in zip(axes, painted.items(), strict=True):
    axis.imshow(picture.pixels)
    axis.set_title(title)
    axis.axis("off")
