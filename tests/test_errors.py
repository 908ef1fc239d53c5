"""The tree of errors, as it is drawn and as it is."""

from __future__ import annotations

import inspect
import pickle
import re

import numpy as np
import pytest

from impasto import errors
from impasto.errors import ImpastoError, Interrupted, MissingDependencyError, UnknownNameError, UsageError
from impasto.types import Picture

_DRAWN = re.compile(r"^( *)[*x+-] (\w+)(?: {2,}(\S.*))?$", re.MULTILINE)


def drawn_tree() -> dict[str, str]:
    """Read the docstring: name of each class and of its parent, in order."""
    tree: dict[str, str] = {}
    branch: list[tuple[int, str]] = [(-1, "Exception")]
    for indentation, name, _ in _DRAWN.findall(errors.__doc__ or ""):
        while branch[-1][0] >= len(indentation):
            branch.pop()
        tree[name] = branch[-1][1]
        branch.append((len(indentation), name))
    return tree


def classes() -> dict[str, type[Exception]]:
    defined = inspect.getmembers(errors, inspect.isclass)
    ours = [(name, cls) for name, cls in defined if cls.__module__ == errors.__name__]
    return dict(sorted(ours, key=lambda item: inspect.getsourcelines(item[1])[1]))


def test_the_drawn_tree_is_the_real_one() -> None:
    real = {name: cls.__base__.__name__ for name, cls in classes().items()}
    assert drawn_tree() == real
    assert list(drawn_tree()) == list(real)  # in the same order
    assert len(real) > 10


def test_every_error_but_the_root_is_explained_where_it_is_drawn() -> None:
    assert [name for _, name, meaning in _DRAWN.findall(errors.__doc__ or "") if not meaning] == ["ImpastoError"]
    for name, cls in classes().items():
        assert re.fullmatch(r"[A-Z].*\.", (cls.__doc__ or "").partition("\n\n")[0], re.DOTALL), name


@pytest.mark.parametrize(
    "error",
    [
        UnknownNameError("style", "great", ["great-wave"]),
        MissingDependencyError("a film", "av", "film"),
        errors.RejectedError("too_dark", "it is dark"),
        Interrupted(Picture(np.zeros((1, 1, 3), np.float32))),
        ImpastoError("a", "b"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_reaches_another_process_as_it_is(error: ImpastoError) -> None:
    received = pickle.loads(pickle.dumps(error))
    assert type(received) is type(error)
    assert (str(received), received.code, received.args) == (str(error), error.code, error.args)
    assert received.__dict__.keys() == error.__dict__.keys()


@pytest.mark.parametrize(
    ("name", "known", "sentence"),
    [
        ("grate-wave", ["starry-night", "great-wave"], "unknown style 'grate-wave'; did you mean 'great-wave'?"),
        ("x", ["starry-night", "great-wave"], "unknown style 'x'; known: great-wave, starry-night"),
        ("x", [], "unknown style 'x'; known: none"),
        ("great", iter(["great-wave", "greet"]), "unknown style 'great'; did you mean 'greet'?"),
    ],
)
def test_unknown_name(name: str, known: list[str], sentence: str) -> None:
    error = UnknownNameError("style", name, known)
    assert isinstance(error, UsageError)
    assert str(error) == sentence


def test_missing_dependency() -> None:
    error = MissingDependencyError("engine 'gatys'", "PyTorch", "torch")
    assert str(error) == "engine 'gatys' needs PyTorch: pip install 'impasto[torch]'"


def test_an_interrupted_run_brings_its_picture_along() -> None:
    picture = Picture(np.zeros((2, 3, 3), np.float32))
    with pytest.raises(ImpastoError, match=r"^interrupted; the best picture so far is kept$") as caught:
        raise Interrupted(picture)
    assert caught.value.picture is picture
