"""The tools that keep the house in order, and the README that shows it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lanes import slow

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        *slow((("mypy",),)),
        ("lint-imports",),
    ],
    ids=" ".join,
)
def test_tools_find_nothing(command: tuple[str, ...]) -> None:
    done = subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ci_runs_the_test_command_of_the_readme() -> None:
    commands = [line for line in (ROOT / "README.md").read_text().splitlines() if line.endswith("bin/pytest")]
    assert len(commands) == 1
    assert "grep -m 1 'bin/pytest$' README.md" in (ROOT / ".ci" / "run").read_text()
    assert commands[0] in (ROOT / "CONTRIBUTING.md").read_text()


def test_links_of_the_documents_lead_somewhere() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")]
    for document in documents:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if not target.startswith("http"):
                assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_modules_stay_short() -> None:
    for module in (ROOT / "src").rglob("*.py"):
        assert len(module.read_text().splitlines()) <= 400, module
