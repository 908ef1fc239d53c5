"""Signed links. Anybody who has such a link can fetch one result until the link expires."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from impasto.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from impasto.service.jobs import Job
    from impasto.service.settings import Settings


_SHORTEST = 32
"""Shortest secret in bytes."""


class Signer:
    """Signs paths."""

    def __init__(self, secret: bytes) -> None:
        """Sign with ``secret``."""
        self._secret = secret

    @classmethod
    def of(cls, settings: Settings) -> Signer:
        """Make a signer with the secret of ``settings`` or, without one, with the secret in the data folder."""
        return cls(settings.secret.encode() if settings.secret else _kept_in(settings.data_dir))

    def result(self, job: Job) -> str | None:
        """Return a signed path of the result of ``job``, valid until the result expires; None without a result."""
        if job.result_key is None or job.expires is None:
            return None
        path, until = f"/v1/jobs/{job.id}/result", int(job.expires)
        return f"{path}?until={until}&signature={self._mac(path, until)}"

    def opens(self, path: str, until: int | None, signature: str | None, *, now: float) -> bool:
        """Return whether ``signature`` is valid for ``path`` and has not expired."""
        if until is None or signature is None or until < now:
            return False
        return hmac.compare_digest(self._mac(path, until).encode(), signature.encode(errors="replace"))

    def _mac(self, path: str, until: int) -> str:
        return hmac.new(self._secret, f"{path}\n{until}".encode(), hashlib.sha256).hexdigest()


def _kept_in(folder: Path) -> bytes:
    path = folder / "secret"
    try:
        if path.exists() and path.stat().st_size < _SHORTEST:  # a crash, or a full disk, has left it empty
            path.unlink()
        if not path.exists():
            made = folder / f"secret.{secrets.token_hex(4)}"
            made.touch(mode=0o600)
            with made.open("w") as file:
                file.write(secrets.token_hex(_SHORTEST))
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                path.hardlink_to(made)  # if several processes start at once, only one creates the secret
            made.unlink()
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"the secret {path} cannot be kept: {error.strerror}; set IMPASTO_SECRET") from error
