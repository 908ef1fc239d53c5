"""Texts of the page: all are extracted, translated, and compiled."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from babel.messages.frontend import CommandLineInterface
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po

import impasto.service.web
from impasto.api import JobState
from impasto.service.web.page_texts import DEFAULT_LANGUAGE, LANGUAGES, STATES, texts_of_scripts, translations

ROOT = Path(__file__).parents[3]
PAGE = Path(impasto.service.web.__file__).parent / "page"
CATALOGUES = sorted(PAGE.glob("locale/*/LC_MESSAGES/page.po"))
HELP = "run 'pybabel extract' and 'pybabel update', translate, and run 'pybabel compile': see CONTRIBUTING.md"


def entries(read, path):
    """Return English texts and what a file has for them; what is doubtful (fuzzy) counts as nothing."""
    with path.open("rb") as file:
        return {message.id: "" if message.fuzzy else message.string for message in read(file) if message.id}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The English texts that pybabel finds."""
    template = tmp_path_factory.mktemp("texts") / "page.pot"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        CommandLineInterface().run(["pybabel", "-q", "extract", "-o", str(template)])
    return entries(read_po, template).keys()


def test_every_text_is_extracted(written):
    sources = "".join(file.read_text() for file in [*PAGE.glob("*.html"), *PAGE.glob("static/*.js")])
    marked = set(re.findall(r'\b_\("([^"]+)"', sources))
    assert len(marked) > 80 and marked <= written
    assert {"seed", "The Starry Night", *STATES.values()} <= written
    assert STATES.keys() >= set(JobState)


def test_every_language_has_a_catalogue():
    assert {file.parts[-3] for file in CATALOGUES} == LANGUAGES.keys() - {DEFAULT_LANGUAGE}


@pytest.mark.parametrize("file", CATALOGUES, ids=lambda file: file.parts[-3])
def test_every_text_is_translated(file, written):
    found = entries(read_po, file)
    assert written - {text for text, translated in found.items() if translated} == set(), f"not translated; {HELP}"
    assert found.keys() - written == set(), f"said no more; {HELP}"
    for text, translated in found.items():
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", translated)), text


@pytest.mark.parametrize("file", CATALOGUES, ids=lambda file: file.parts[-3])
def test_what_is_compiled_is_what_was_translated(file):
    translated = {text: found for text, found in entries(read_po, file).items() if found}
    assert entries(read_mo, file.with_suffix(".mo")) == translated, f"page.mo is out of date; {HELP}"
    assert texts_of_scripts(translations(file.parts[-3]))["messages"] == translated
