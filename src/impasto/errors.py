"""The errors of impasto as one tree, and guards that raise them in place of the errors of other packages.

* ImpastoError
  x UsageError                 an option or argument is wrong; nothing was started
    + UnknownNameError         a name is not in its catalog; the message suggests the nearest
    + MissingDependencyError   a feature needs an extra that is not installed
  x FileWriteError             a file cannot be written to that place or in that format
  x ImageError                 a picture cannot be read or used
    + ImageReadError           broken, truncated, or not a picture at all
    + ImageLimitError          more bytes or pixels than the limits allow
    + ImageSizeError           too small for the layers that were asked for
    + TruncatedFilmError       a film is cut off, or lacks frames
    + RejectedError            the service does not accept a picture of a request
  x WeightsError               weights cannot be found, recognised or trusted
    + WeightsFormatError       the content matches no known format
    + NetworkFileError         the file of a network is damaged, or the memory does not suffice for it
    + DownloadError            the network, the server or the checksum failed
  x StyleError                 a style file cannot be read, or belongs to another network
  x OutOfMemoryError           the machine has less memory or disk than the work needs
  x DivergedError              the losses of an optimisation or a training are not finite
  x CheckpointError            a run cannot be resumed from its checkpoint
  x ServiceError               the service cannot do what was requested
    + ConflictError            a request contradicts an earlier one or the state of its job
    + BacklogError             too many jobs are waiting; try again later
    + BusyError                the machine is too busy; try again later
    + QuotaError               there is no room for more pictures
    + RateError                a client sends too many requests
    + StorageError             the disk, the database or the object store failed
    + BlobMissingError         a picture was deleted, or was never stored
    + BlobDamagedError         a picture is not what was stored
    + RequestError             a service refused what the client sent
  x Interrupted                the user stopped the run; the error carries the best picture so far

The library raises; only ``cli/`` prints and exits, and only the web layer turns an error into a status. The ``code`` of
an error never changes. A service returns it when it refuses a request, and stores it for a job that failed. Every
message is one sentence that names the numbers and the remedy.
"""

from __future__ import annotations

import difflib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from impasto.types import Picture

ON_THE_CPU = "the memory of the GPU does not suffice; painting goes on on the processor"
"""Note for the user, in place of an error."""
_ON_GPU = ("MPS backend out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")


class ImpastoError(Exception):
    """Base class of every error that impasto raises on purpose."""

    code: str = "failed"

    def __reduce__(self) -> tuple[Any, ...]:
        """Carry the error to another process as it is. By default, the message would go through ``__init__`` again."""
        return type(self).__new__, (type(self), *self.args), self.__dict__


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
    """Guard the imports for ``feature`` in a ``with`` block; if a package is missing, the error names ``extra``.

    Raises:
        MissingDependencyError: the block imports a package that is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "impasto").partition(".")[0]
        if package == "impasto":
            raise
        raise MissingDependencyError(feature, "PyTorch" if package == "torch" else package, extra) from error


class FileWriteError(ImpastoError):
    """A file cannot be written to that place, or in that format."""

    code = "cannot_write"


class ImageError(ImpastoError):
    """A picture cannot be read or used."""

    code = "bad_image"


class ImageReadError(ImageError):
    """A file is broken, truncated, or not a picture at all."""


class ImageLimitError(ImageError):
    """A picture has more bytes or pixels than the limits allow."""

    code = "image_too_large"


class ImageSizeError(ImageError):
    """A picture is too small for the layers that were asked for."""

    code = "image_too_small"


class TruncatedFilmError(ImageError):
    """A film is cut off, or some of its frames cannot be decoded. The others were read."""


class RejectedError(ImageError):
    """The service does not accept a picture of a request."""

    def __init__(self, code: str, text: str) -> None:
        """Set the message to ``text`` and the reason to ``code``."""
        super().__init__(text)
        self.code = code


class WeightsError(ImpastoError):
    """Weights cannot be found, recognised or trusted."""


class WeightsFormatError(WeightsError):
    """The content of a weights file matches no known format."""


class NetworkFileError(WeightsError):
    """A network cannot be read: its file is missing or damaged, or the memory does not suffice for it."""


class DownloadError(WeightsError):
    """A download failed: network, server, or checksum."""

    code = "weights_unavailable"


class StyleError(ImpastoError):
    """A style file cannot be read, or belongs to another network."""

    code = "bad_style"


class OutOfMemoryError(ImpastoError):
    """The machine has less memory or disk than the work needs."""

    code = "out_of_memory"


class DivergedError(ImpastoError):
    """The losses of an optimisation or a training are not finite."""

    code = "diverged"


class CheckpointError(ImpastoError):
    """A run cannot be resumed from its checkpoint."""


class ServiceError(ImpastoError):
    """The service cannot do what was requested."""


class ConflictError(ServiceError):
    """A request contradicts an earlier one, or the state of its job."""

    code = "conflict"


class BacklogError(ServiceError):
    """Too many jobs are waiting; try again later."""

    code = "backlog_full"


class BusyError(ServiceError):
    """The machine is too busy; try again later."""

    code = "busy"


class QuotaError(ServiceError):
    """There is no room for more pictures."""

    code = "storage_full"


class RateError(ServiceError):
    """A client sends too many requests."""

    code = "too_many_requests"


class StorageError(ServiceError):
    """The disk, the database or the object store failed."""

    code = "storage"


class BlobMissingError(ServiceError):
    """A picture was deleted, or was never stored."""

    code = "not_found"


class BlobDamagedError(ServiceError):
    """A picture is not what was stored."""

    code = "damaged"


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
        """Store the best ``picture`` so far, with the size and colours of a complete run."""
        super().__init__("interrupted; the best picture so far is kept")
        self.picture = picture


@contextmanager
def shortage_explained(work: str, remedy: str = "choose a smaller size") -> Iterator[None]:
    """Name the ``work``, such as '800x600 pixels', and the ``remedy`` in the error if the block runs out of memory.

    Raises:
        OutOfMemoryError: the block ran out of memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        on_gpu = is_shortage_of_gpu(error)
        if isinstance(error, MemoryError) or on_gpu or "can't allocate memory" in str(error):
            where = "memory of the GPU" if on_gpu else "memory"
            raise OutOfMemoryError(f"the {where} does not suffice for {work}; {remedy}") from error
        raise


def is_shortage_of_gpu(error: BaseException) -> bool:
    """Return True if PyTorch raised ``error`` because the memory of a GPU did not suffice."""
    # The class is compared by name, because PyTorch may not be installed.
    return type(error).__name__ == "OutOfMemoryError" or any(text in str(error) for text in _ON_GPU)
