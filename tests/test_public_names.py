"""The one public door: what is behind it, and that opening it costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import impasto

HEAVY = {"torch", "pyvips", "openvino", "onnxruntime", "matplotlib", "scipy", "h5py", "cyclopts", "rich", "ssl"}


def names_for_type_checkers() -> dict[str, str]:
    """Read the imports under ``if TYPE_CHECKING``: module by name."""
    tree = ast.parse(Path(impasto.__file__).read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


def loaded_after(statements: str) -> set[str]:
    """Run ``statements`` in a new process; return the heavy packages it has loaded then."""
    program = f"{statements}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {module.partition(".")[0] for module in done.stdout.split()} & HEAVY


def test_all_is_sorted_and_complete() -> None:
    assert impasto.__all__ == sorted(impasto.__all__)
    assert dir(impasto) == impasto.__all__
    assert set(impasto.__all__) == set(names_for_type_checkers())


@pytest.mark.parametrize("name", impasto.__all__)
def test_a_public_name_is_what_type_checkers_see(name: str) -> None:
    public = getattr(impasto, name)
    assert public is getattr(import_module(names_for_type_checkers()[name]), name)
    assert public.__name__ == name
    assert public.__doc__


def test_every_public_name_can_be_imported_by_name() -> None:
    names: dict[str, object] = {}
    exec("from impasto import *", names)
    assert set(impasto.__all__) <= set(names)


def test_other_names_are_refused() -> None:
    with pytest.raises(AttributeError, match=r"^module 'impasto' has no attribute 'stylise'$"):
        _ = impasto.stylise
    assert not hasattr(impasto, "torch")


def test_importing_impasto_loads_nothing_heavy() -> None:
    assert loaded_after("import impasto") == set()


def test_options_errors_and_pictures_load_nothing_heavy() -> None:
    used = "import impasto; impasto.GatysOptions(); impasto.Picture; impasto.Step; impasto.ImpastoError"
    assert loaded_after(used) == set()


def test_reading_a_picture_loads_no_network_library(photo: Path) -> None:
    loaded = loaded_after(f"import impasto; impasto.read_picture({str(photo)!r})")
    assert "pyvips" in loaded
    assert loaded == {"pyvips"}
