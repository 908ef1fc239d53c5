"""Everything impasto can refuse to do, as one tree.

* ImpastoError
  x UsageError                 an option or argument is wrong; nothing was started
    + UnknownNameError         a name that is not in a catalog, with the nearest that is
    + MissingDependencyError   a feature needs an extra that is not installed
  x FileWriteError             the format cannot be written, or the disk refused
  x ImageError                 a picture cannot be read or used
    + ImageReadError           broken, truncated, or not a picture at all
    + ImageLimitError          more bytes or pixels than we agree to open
    + ImageSizeError           too small for the layers that were asked for
    + RejectedError            a picture of a request is not taken by the service
  x WeightsError               weights cannot be found, recognised or trusted
    + WeightsFormatError       the content matches none of the formats we know
    + DownloadError            the network, the server or the checksum failed
  x StyleError                 a style file cannot be read, or belongs to another network
  x OutOfMemoryError           the machine has less memory or disk than the work needs
  x DivergedError              no finite number came out any more, also after smaller steps
  x CheckpointError            a run cannot be resumed from what is on disk
  x ServiceError               the service cannot do what was asked for
    + ConflictError            it contradicts what is known already
    + BacklogError             too much waits; later it will go
    + QuotaError               there is no room for more pictures
    + RateError                one sender asks too often
    + StorageError             the disk, the database or the object store refused
    + BlobMissingError         a picture was deleted, or never kept
    + RequestError             a service refused what the client sent
  x Interrupted                the user stopped the run; carries the best picture so far

The library raises; only ``cli/`` prints and exits, and only the web layer turns an error into a status. The ``code`` of
an error never changes. A service returns it when it refuses a request, and stores it for a job that failed. Every
message is one sentence that names the numbers and the remedy.
"""

from __future__ import annotations

import difflib
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from impasto.types import Picture


class ImpastoError(Exception):
    """Base class of every error that impasto raises on purpose."""

    code: str = "failed"


class UsageError(ImpastoError):
    """An option or argument is wrong; nothing was started."""

    code = "bad_option"


class UnknownNameError(UsageError):
    """A name is not in its catalog; the message suggests the nearest one that is."""

    code = "unknown_name"

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        """Build the message that ``name`` is not a ``kind`` (a singular noun), given the ``known`` names."""
        self.name = name
        names = sorted(known)
        nearest = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(names) or 'none'}"
        super().__init__(f"unknown {kind} {name!r}; {hint}")


class MissingDependencyError(UsageError):
    """A feature needs an optional dependency that is not installed."""

    code = "engine_unavailable"

    def __init__(self, feature: str, package: str, extra: str) -> None:
        """Build the message that ``feature`` needs ``package``, which the extra ``extra`` installs."""
        super().__init__(f"{feature} needs {package}: pip install 'impasto[{extra}]'")


@contextmanager
def needs_extra(feature: str, extra: str) -> Iterator[None]:
    """Guard the imports for ``feature`` in this block; if a package is missing, the error names its ``extra``.

    Raises:
        MissingDependencyError: an import in the block found no package of another project.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "impasto").partition(".")[0]
        if package == "impasto":
            raise
        raise MissingDependencyError(feature, "PyTorch" if package == "torch" else package, extra) from error


class FileWriteError(ImpastoError):
    """A file cannot be written where, or in the format, that was asked for."""

    code = "cannot_write"


class ImageError(ImpastoError):
    """A picture cannot be read or used."""

    code = "bad_image"


class ImageReadError(ImageError):
    """A file is broken, truncated, or not a picture at all."""


class ImageLimitError(ImageError):
    """A picture has more bytes or pixels than we agree to open."""

    code = "image_too_large"


class ImageSizeError(ImageError):
    """A picture is too small for the layers that were asked for."""

    code = "image_too_small"


class RejectedError(ImageError):
    """A picture of a request is not taken by the service."""

    def __init__(self, code: str, text: str) -> None:
        """Set the message to ``text`` and the reason to ``code``."""
        super().__init__(text)
        self.code = code


class WeightsError(ImpastoError):
    """Weights cannot be found, recognised or trusted."""


class WeightsFormatError(WeightsError):
    """The content of a weights file matches none of the formats we know."""


class DownloadError(WeightsError):
    """A download failed: network, server, or checksum."""

    code = "weights_unavailable"


class StyleError(ImpastoError):
    """A style file cannot be read, or belongs to another network."""

    code = "bad_style"


class OutOfMemoryError(ImpastoError):
    """The machine has less memory, or room on its disk, than the work needs."""

    code = "out_of_memory"


class DivergedError(ImpastoError):
    """The optimisation produced no finite number any more, also after smaller steps."""

    code = "diverged"


class CheckpointError(ImpastoError):
    """A run cannot be resumed from what is on disk."""


class ServiceError(ImpastoError):
    """The service cannot do what was asked for."""


class ConflictError(ServiceError):
    """A request contradicts what is known already."""

    code = "conflict"


class BacklogError(ServiceError):
    """Too much waits already; later it will go."""

    code = "backlog_full"


class QuotaError(ServiceError):
    """There is no room for more pictures."""

    code = "storage_full"


class RateError(ServiceError):
    """One sender asks too often."""

    code = "too_many_requests"


class StorageError(ServiceError):
    """The disk, the database or the object store refused."""

    code = "storage"


class BlobMissingError(ServiceError):
    """A picture was deleted, or never kept."""

    code = "not_found"


class RequestError(ServiceError):
    """A service refused what the client sent.

    Attributes:
        status: the HTTP status.
        code: the error code of the service.
    """

    def __init__(self, status: int, code: str, text: str) -> None:
        """Set the message to ``text``."""
        super().__init__(text)
        self.status = status
        self.code = code


class Interrupted(ImpastoError):  # noqa: N818 - not a failure: the user asked for it
    """The user stopped the run."""

    def __init__(self, picture: Picture) -> None:
        """Store the best ``picture`` so far, finished to the size and colours of a complete run."""
        super().__init__("interrupted; the best picture so far is kept")
        self.picture = picture
