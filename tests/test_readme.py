"""Every block of the README, in both languages, does what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from clips import write_clip
from impasto.images import read_picture, resize_picture, write_picture
from service.servers import free_port

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
SET_UP = re.compile(r"python3 -m venv \.venv && |\.venv/bin/pip install .*? && ")


def blocks(document: Path) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w+)\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)


def of_kind(*words: str) -> list[str]:
    return [text for _, text in blocks(ENGLISH) if any(word in text for word in words)]


def test_both_languages_have_the_same_blocks_and_figures():
    english, chinese = (
        [(kind, re.sub(r" +# .*", "", text)) for kind, text in blocks(each)] for each in (ENGLISH, CHINESE)
    )
    assert chinese == english and len(english) == 6
    rows = [
        re.findall(r"^\| `(\w+)` \| ([\d.]+) \| ([\d.]+) GB", each.read_text(), re.M) for each in (ENGLISH, CHINESE)
    ]
    assert rows[0] == rows[1] and len(rows[0]) == 6


@pytest.fixture
def clone(tmp_path, photo, painting, stored_weights):
    """A working directory as a reader has it: an environment, pictures, a folder, a film; and all of them small."""
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(BIN)
    small, style = resize_picture(read_picture(photo), 128, 96), resize_picture(read_picture(painting), 160, 120)
    for folder in ("photos", "van-gogh", "examples/pictures"):
        (tmp_path / folder).mkdir(parents=True)
    photos = ("photo.jpg", "photos/one.jpg", "photos/two.jpg", "van-gogh/one.jpg", "van-gogh/two.jpg")
    for name in (*photos, "examples/pictures/harbour.jpg"):
        write_picture(small, tmp_path / name)
    for name in ("painting.jpg", "examples/pictures/swirls.jpg"):
        write_picture(style, tmp_path / name)
    write_clip(tmp_path / "clip.mp4", [small.pixels] * 4, rate=10)
    return tmp_path


def bash(text: str, folder: Path) -> str:
    """Run a block; the environment is there already, and what is slow is small."""
    text = SET_UP.sub("", text).replace("--engine gatys --size 512", "--engine gatys --size 64 --steps 3")
    text = text.replace("--size 1024", "--size 128")
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(folder)}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("block", of_kind(".venv/bin/impasto stylize"))
def test_the_commands_that_set_up_and_paint(clone, block):
    assert SET_UP.sub("", block).startswith(".venv/bin/impasto stylize")
    bash(block, clone)
    assert (clone / "out.png").stat().st_size > 1000


def test_the_command_line(clone):
    (block,) = of_kind("impasto compare")
    assert len(block.splitlines()) == 7
    bash(block, clone)
    for name in ("out.jpg", "mixed.jpg", "painted.jpg", "painted/one.jpg", "painted/two.jpg", "out.mp4", "sheet.png"):
        assert (clone / name).stat().st_size > 1000, name


def test_python(clone):
    (block,) = [text for kind, text in blocks(ENGLISH) if kind == "python"]
    subprocess.run([sys.executable, "-c", block], cwd=clone, check=True)
    assert (clone / "out.png").exists() and (clone / "mixed.jpg").exists()


def test_the_service(clone):
    (block,) = of_kind("impasto serve")
    port = free_port()
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    block = block.replace("impasto serve &", f"impasto serve --port {port} --data-dir jobs >/dev/null 2>&1 &")
    block = block.replace("8765", str(port)) + "kill %1\nwait %1 || true\n"
    said = bash("set -m\n" + block, clone)
    assert '"state":"queued"' in said.replace(" ", "") and said.count('"id"') >= 2
    assert {child.pid for child in psutil.Process().children(recursive=True)} == before
