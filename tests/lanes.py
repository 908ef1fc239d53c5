"""Parameters of tests that ``pytest -m "not slow"`` leaves out."""

from __future__ import annotations

import pytest


def slow(*values):
    """Return ``values`` as parameters of slow tests; a tuple has the values of several arguments."""
    several = [value if isinstance(value, tuple) else (value,) for value in values]
    return [pytest.param(*value, marks=pytest.mark.slow) for value in several]
