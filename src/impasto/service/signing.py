"""Signed links. Each gives anybody access to one result until it expires."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from impasto.service.jobs import Job
    from impasto.service.settings import Settings


class Signer:
    """Signs paths."""

    def __init__(self, secret: bytes) -> None:
        """Sign with ``secret``."""
        self._secret = secret

    @classmethod
    def of(cls, settings: Settings) -> Signer:
        """Sign with the secret of ``settings``, or else with one that the data folder keeps."""
        return cls(settings.secret.encode() if settings.secret else _kept_in(settings.data_dir))

    def result(self, job: Job) -> str | None:
        """Return a signed path of the result of ``job``, valid until the result expires; None without a result."""
        if job.result_key is None or job.expires is None:
            return None
        path, until = f"/v1/jobs/{job.id}/result", int(job.expires)
        return f"{path}?until={until}&signature={self._mac(path, until)}"

    def opens(self, path: str, until: int | None, signature: str | None) -> bool:
        """Return whether ``signature`` is valid for ``path`` and has not expired."""
        if until is None or signature is None or until < time.time():
            return False
        return hmac.compare_digest(self._mac(path, until).encode(), signature.encode(errors="replace"))

    def _mac(self, path: str, until: int) -> str:
        return hmac.new(self._secret, f"{path}\n{until}".encode(), hashlib.sha256).hexdigest()


def _kept_in(folder: Path) -> bytes:
    path = folder / "secret"
    if not path.exists():
        made = folder / f"secret.{secrets.token_hex(4)}"
        made.touch(mode=0o600)
        made.write_text(secrets.token_hex(32))
        with suppress(FileExistsError):
            path.hardlink_to(made)  # if several processes start at once, only one creates the secret
        made.unlink()
    return path.read_bytes()
