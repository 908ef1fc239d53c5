"""Registries: names become code only when asked for."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from impasto.errors import MissingDependencyError, UnknownNameError
from impasto.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

MODULES = {
    "easel": "PRICE = 12\n",
    "needs_a_package": "import package_that_nobody_has.inside\n",
    "needs_our_own": "import impasto.module_that_was_forgotten\n",
}


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Importable modules, each new to this process."""
    for name, source in MODULES.items():
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("modules")
def test_code_is_imported_when_it_is_loaded() -> None:
    registry = Registry("tool", [("easel", "easel:PRICE")])
    assert "easel" not in sys.modules
    assert registry.load("easel") == 12
    assert "easel" in sys.modules


def test_names_keep_the_order_of_the_table() -> None:
    assert Registry("tool", [("b", "x:y"), ("a", "x:y"), ("c", "x:z")]).names == ("b", "a", "c")


def test_a_name_may_stand_once() -> None:
    with pytest.raises(ValueError, match=r"^tool 'easel' is registered twice$"):
        Registry("tool", [("easel", "a:b"), ("brush", "a:b"), ("easel", "c:d")])


def test_unknown_name_suggests_the_nearest() -> None:
    registry = Registry("engine", [("gatys", "a:b"), ("fast", "a:b")])
    with pytest.raises(UnknownNameError, match=r"^unknown engine 'gatis'; did you mean 'gatys'\?$"):
        registry.load("gatis")
    with pytest.raises(UnknownNameError, match=r"^unknown engine 'x'; known: fast, gatys$"):
        registry.load("x")


@pytest.mark.usefixtures("modules")
def test_missing_package_names_the_extra() -> None:
    registry = Registry("tool", [("easel", "needs_a_package:PRICE")], extra="paint")
    with pytest.raises(MissingDependencyError) as caught:
        registry.load("easel")
    assert str(caught.value) == "tool 'easel' needs package_that_nobody_has: pip install 'impasto[paint]'"


@pytest.mark.usefixtures("modules")
def test_our_own_mistakes_are_not_called_missing_packages() -> None:
    registry = Registry("tool", [("easel", "needs_our_own:PRICE"), ("brush", "easel:COLOUR")])
    with pytest.raises(ModuleNotFoundError, match="module_that_was_forgotten"):
        registry.load("easel")
    with pytest.raises(AttributeError, match="COLOUR"):
        registry.load("brush")


def test_engine_without_pytorch_says_how_to_get_it() -> None:
    # None in sys.modules is how Python itself marks a package that must not be imported.
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from impasto.errors import MissingDependencyError\n"
        "from impasto.registry import Registry\n"
        "engines = Registry('engine', [('gatys', 'impasto.engines.optimization:OptimizationEngine')])\n"
        "try: engines.load('gatys')\n"
        "except MissingDependencyError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "engine 'gatys' needs PyTorch: pip install 'impasto[torch]'\n"
