"""Validation of the keys of blobs, the same in every store."""

from __future__ import annotations

import re

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_LONGEST = 255


def check_key(key: str) -> str:
    """Check that ``key`` is a valid key, and return it.

    Raises:
        ValueError: it is not valid.
    """
    if not _KEY.fullmatch(key) or len(key) > _LONGEST:
        raise ValueError(f"{key!r} is not a key of a blob")
    return key
