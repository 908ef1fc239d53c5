"""What the tests of several commands share."""

from __future__ import annotations

from contextlib import contextmanager

import pytest


@pytest.fixture
def interrupted_when_drawing(monkeypatch):
    """Press Ctrl-C when a training draws its samples: after its last step, and before the export, which is long."""

    def interrupt(self, network):
        raise KeyboardInterrupt

    @contextmanager
    def interrupted(task):
        with monkeypatch.context() as patch:
            patch.setattr(task, "samples", interrupt)
            yield

    return interrupted
