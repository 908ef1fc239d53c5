"""The documentation, as Sphinx builds it: ``sphinx-build -W docs FOLDER``."""

from __future__ import annotations

import logging
from importlib.metadata import version as installed
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "impasto"
author = "The impasto developers"
project_copyright = "The impasto developers, Apache-2.0"
version = release = installed("impasto")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_gallery.gen_gallery"]
myst_heading_anchors = 3
nitpicky = False

exclude_patterns = ["tutorials"]
logging.getLogger("pyvips").setLevel(logging.WARNING)
sphinx_gallery_conf = {
    "examples_dirs": "tutorials",
    "gallery_dirs": "built-tutorials",
    "filename_pattern": r"\.py$",
    "run_stale_examples": True,
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "capture_repr": (),
    "within_subsection_order": "sphinx_gallery.sorting.FileNameSortKey",
    "min_reported_time": 3600,
    "remove_config_comments": True,
}

html_theme = "furo"
html_title = "impasto"
html_static_path = ["_static"]
html_css_files = ["tables.css"]


def setup(app: Sphinx) -> None:
    """Let links to the file of measurements, which is outside of this folder, go to its page."""

    def redirect(app: Sphinx, name: str, text: list[str]) -> None:
        text[0] = text[0].replace("(../benchmarks/RESULTS.md)", "(measurements.md)")

    app.connect("source-read", redirect)
