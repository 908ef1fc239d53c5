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
    for page in [*DOCS.glob("*.md"), *(DOCS / "reference").glob("*.md")]:
        assert (pages / page.relative_to(DOCS)).with_suffix(".html").exists()


@pytest.mark.slow
def test_what_the_pages_show_is_there(pages):
    """Pictures and links within the pages; Sphinx does not look at those to files."""
    for page in pages.glob("**/*.html"):
        for target in re.findall(r'(?:src|href)="([^"#?:]+)[#?"]', page.read_text()):
            assert (page.parent / target).exists(), (page.name, target)
