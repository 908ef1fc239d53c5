"""The documentation is built without a warning, and says what the code says."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

import impasto

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def reference():
    spec = spec_from_file_location("reference", DOCS / "reference.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_that_of_the_code(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["impasto"])  # Cyclopts looks there for the name of the program
    for name, page in reference().PAGES.items():
        assert (DOCS / "reference" / f"{name}.md").read_text() == page(), "run python docs/reference.py"


def test_every_public_name_has_an_entry():
    named = re.findall(r"^\.\. auto\w+:: (\w+)$", (DOCS / "reference" / "python.md").read_text(), re.MULTILINE)
    assert sorted(named) == sorted(impasto.__all__)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The pages as HTML."""
    folder = tmp_path_factory.mktemp("pages")
    subprocess.run([sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", str(DOCS), str(folder)], check=True)
    return folder


@pytest.mark.slow
def test_the_pages_are_built_without_a_warning(pages):
    for page in [*DOCS.glob("*.md"), *(DOCS / "reference").glob("*.md"), *(DOCS / "zh").glob("*.md")]:
        assert (pages / page.relative_to(DOCS)).with_suffix(".html").exists()


@pytest.mark.slow
def test_what_the_pages_show_is_there(pages):
    """Pictures and links within the pages; Sphinx does not look at those to files."""
    for page in pages.glob("**/*.html"):
        for target in re.findall(r'(?:src|href)="([^"#?:]+)[#?"]', page.read_text()):
            assert (page.parent / target).exists(), (page.name, target)


def blocks(page):
    """The commands and programs of a page, without comments."""
    texts = re.findall(r"^```(?:sh|python)?\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    return [re.sub(r" *# .*", "", text) for text in texts]


@pytest.mark.parametrize("name", ["quickstart.md", "painting.md", "service.md"])
def test_chinese_pages_have_the_commands_and_settings_of_the_english_ones(name):
    english, chinese = DOCS / name, DOCS / "zh" / name
    assert blocks(chinese) == blocks(english) and blocks(english)
    flags = [sorted(set(re.findall(r"`(--[a-z-]+|IMPASTO_\w+)", page.read_text()))) for page in (english, chinese)]
    assert flags[0] == flags[1]


def test_links_of_the_readmes_lead_somewhere():
    for readme in (ROOT / "README.md", ROOT / "README.zh-CN.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", readme.read_text()):
            assert (ROOT / target).exists(), (readme.name, target)
