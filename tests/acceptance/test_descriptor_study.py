"""The study of descriptors, from pictures to the report, at the smallest size that goes through everything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from impasto.images import write_picture
from impasto.types import Picture

pytestmark = pytest.mark.slow

RECIPE = Path(__file__).parent.parent.parent / "recipes" / "descriptor_study.py"


@pytest.fixture
def pictures(tmp_path):
    random = np.random.default_rng(0)
    for name in ("flowers/roses", "flowers/tulips", "photos", "paintings"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for number in range(6):
            write_picture(Picture(random.random((70, 90, 3), dtype=np.float32)), folder / f"{number}.png")
    return tmp_path


@pytest.mark.usefixtures("stored_weights")
def test_from_pictures_to_the_report(pictures):
    words = ["--flowers", "flowers", "--photos", "photos", "--paintings", "paintings", "-o", "out"]
    words += ["--pairs", "1", "--size", "64", "--steps", "1"]
    words += ["--scratch", "--steps 2 --crop 32 --width 0.0625 --batch 4"]
    words += ["--tuned", "--steps 1 --crop 32 --freeze 4 --batch 2"]
    done = subprocess.run([sys.executable, RECIPE, *words], cwd=pictures, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads((pictures / "out" / "report.json").read_text())
    assert len(report["transfers"]) == 3 * 4
    assert report["cka"]["ImageNet"] == dict.fromkeys(report["cka"]["ImageNet"], 1.0)
    assert 0 <= report["classification"]["flowers fine-tuned"]["test accuracy"] <= 1
    page = (pictures / "out" / "report.html").read_text()
    assert "http" not in page and page.count("<img") == 2 * 2 + 3 * 6 + 4 * 10
    assert all(line in page for line in ("Conclusion", "Reconstructions", "linear CKA"))
    subprocess.run([sys.executable, RECIPE, *words, "--publish"], cwd=pictures, check=True, capture_output=True)
    published = (pictures / "out" / "report.html").read_text()
    assert published.count("<img") == 2 * 2 + 5 + 4 * 10 and "other people's" in published
