"""Store of the weights on this machine: one verified safetensors file per name."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from filelock import FileLock
from safetensors import SafetensorError

from impasto.errors import DownloadError, UnknownNameError, UsageError, WeightsError, WeightsFormatError
from impasto.options import PLAIN_NAME
from impasto.weights.canonical import DescriptorWeights, PreprocessingName
from impasto.weights.download import download
from impasto.weights.formats import read_weights
from impasto.weights.location import SUFFIX, bundled_names, stored_files, weights_folder
from impasto.weights.safetensors_file import (
    describe,
    open_safetensors,
    read_metadata,
    stated_preprocessing,
    write_safetensors,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import torch

    from impasto.weights.download import OnProgress

_SECONDS_TO_FORGET = 3600.0
"""Time after which a download is tried again by itself, if the last one was waited for in vain."""
_RESERVED = ("auto", *bundled_names())
"""Names that always select other descriptors, whatever is stored."""


@dataclass(frozen=True)
class RemoteWeights:
    """Weights that anybody may download."""

    url: str
    sha256: str
    """Digest of the file at ``url``."""
    origin: str
    license: str


def _torchvision(network: str, sha256: str) -> RemoteWeights:
    return RemoteWeights(
        url=f"https://download.pytorch.org/models/{network.lower()}-{sha256[:8]}.pth",
        sha256=sha256,
        origin=f"torchvision {network} IMAGENET1K_V1",
        license="BSD-3-Clause",
    )


REMOTE_WEIGHTS: Mapping[str, RemoteWeights] = MappingProxyType(
    {
        "vgg19": _torchvision("VGG19", "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44"),
        "vgg16": _torchvision("VGG16", "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"),
    }
)


@dataclass(frozen=True)
class StoredWeights:
    """The header of a stored file."""

    name: str
    path: Path
    size: int
    """Size in bytes."""
    architecture: str = ""
    source_format: str = ""
    sha256: str = ""
    """Digest of the file that the weights came from."""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    origin: str = ""
    license: str = ""
    problem: str = ""
    """Reason that the file cannot be used, judged by its header; else empty. ``verify`` checks the whole file."""


class WeightsStore:
    """A folder of weights; several processes may use it at once."""

    def __init__(
        self,
        folder: Path,
        *,
        remote: Mapping[str, RemoteWeights] = REMOTE_WEIGHTS,
        mirrors: Sequence[str] = (),
        long_seconds: float = 5.0,
    ) -> None:
        """Use ``folder``, which need not exist.

        ``mirrors`` are base addresses with the files of ``remote`` under the same names; they are tried first. A
        download that fails after ``long_seconds`` counts as waited for in vain.
        """
        self.folder = folder
        self.remote = remote
        self.mirrors = tuple(mirrors)
        self._long_seconds = long_seconds

    def entries(self) -> list[StoredWeights]:
        """List what is stored, by name; reads headers only."""
        return [self._entry(path) for path in stored_files(self.folder)]

    def add(
        self,
        path: Path,
        name: str | None = None,
        preprocessing: PreprocessingName | None = None,
        *,
        replace: bool = False,
    ) -> StoredWeights:
        """Read ``path``, in any known format, and store it as ``name`` (its architecture, if not given).

        Raises:
            UsageError: the name is not valid, or it is taken and ``replace`` is not set.
            WeightsError: see ``read_weights``; or the folder cannot be written.
        """
        if name is not None:
            self.check_free(name, replace=replace)  # first, as reading takes seconds
        weights = read_weights(path, preprocessing)
        name = name or weights.architecture
        self.check_free(name, replace=replace)
        return self._write(name, weights)

    def remove(self, name: str) -> None:
        """Delete ``name`` from this machine.

        Raises:
            UnknownNameError: nothing is stored under that name.
            WeightsError: the folder cannot be written.
        """
        path = self._stored(name)
        with _writing(path):
            path.unlink()

    def verify(self, name: str) -> None:
        """Check every byte of ``name`` against the digest taken when it was stored.

        Raises:
            UnknownNameError: nothing is stored under that name.
            WeightsError: the file is damaged.
        """
        path = self._stored(name)
        remedy = f"run 'impasto models remove {name}' and fetch or add it again"
        try:
            metadata, tensors = open_safetensors(path)
        except WeightsFormatError as error:
            raise WeightsError(f"weights {name!r} are damaged ({error}); {remedy}") from error
        recorded = metadata.pop("content_sha256", "")
        digest = _content_digest(metadata, tensors)
        if digest != recorded:
            raise WeightsError(
                f"weights {name!r} are damaged (sha256 {digest[:16]}, recorded {recorded[:16] or 'none'}); {remedy}"
            )

    def fetch(self, name: str, on_progress: OnProgress | None = None) -> StoredWeights:
        """Download, convert and store ``name``; does nothing if it is stored already.

        Raises:
            UnknownNameError: no such weights can be downloaded.
            DownloadError: no address gave the right file, or the folder cannot be written.
        """
        if name not in self.remote:
            raise UnknownNameError("descriptor", name, self.remote)
        source = self.remote[name]
        file = source.url.rpartition("/")[2]
        urls = [f"{mirror.rstrip('/')}/{file}" for mirror in self.mirrors] + [source.url]
        if on_progress and not self._path(name).exists():
            on_progress(0, None)  # a server, or a firewall before it, may take long to answer
        with _writing(self.folder, DownloadError), self._lock(name):
            if not self._path(name).exists():
                with self._remembered(name):
                    downloaded = download(
                        urls, self.folder / "downloads" / file, sha256=source.sha256, on_progress=on_progress
                    )
                weights = read_weights(downloaded)
                entry = self._write(name, weights, origin=source.origin, license=source.license)
                downloaded.unlink()
                return entry
        return self._entry(self._path(name))

    def load(self, name: str, *, fetch_missing: bool, on_progress: OnProgress | None = None) -> DescriptorWeights:
        """Return the weights of ``name``, memory-mapped, which takes no time whatever their size.

        Raises:
            UnknownNameError: the weights are neither stored nor known.
            DownloadError: the weights are known but not stored, and cannot be downloaded.
            WeightsError: the weights are known but not stored, and ``fetch_missing`` is not set; or the file is
                damaged.
        """
        if not self._path(name).exists():
            if name not in self.remote:
                raise UnknownNameError("descriptor", name, {*self.remote, *(entry.name for entry in self.entries())})
            if not fetch_missing:
                raise WeightsError(
                    f"weights {name!r} are not on this machine; run 'impasto models fetch {name}', "
                    "or 'impasto models add FILE' with a file that you have"
                )
            self.fetch(name, on_progress)
        path = self._path(name)
        metadata, tensors = open_safetensors(path)
        preprocessing = stated_preprocessing(path.name, metadata)
        if preprocessing is None or "architecture" not in metadata:
            raise WeightsError(
                f"{path} was not written by impasto; move it elsewhere and run 'impasto models add FILE --name NAME'"
            )
        return DescriptorWeights(
            architecture=metadata["architecture"],
            tensors=tensors,
            mean=preprocessing.mean,
            std=preprocessing.std,
            source_format=metadata.get("source_format", ""),
            sha256=metadata.get("source_sha256", ""),
            origin=metadata.get("origin", ""),
            license=metadata.get("license", ""),
        )

    def waits_in_vain(self, name: str) -> bool:
        """Return True if ``name`` is not stored, and a download less than an hour ago was waited for in vain."""
        marker = self._marker(name)
        return (
            not self._path(name).exists()
            and marker.exists()
            and 0 <= time.time() - marker.stat().st_mtime < _SECONDS_TO_FORGET
        )

    @contextmanager
    def _remembered(self, name: str) -> Iterator[None]:
        """Leave a marker if the download in this block took long and failed."""
        began = time.monotonic()
        try:
            yield
        except DownloadError:
            if time.monotonic() - began >= self._long_seconds:
                with suppress(OSError):
                    self._marker(name).touch()
            raise
        self._marker(name).unlink(missing_ok=True)

    def _marker(self, name: str) -> Path:
        return self.folder / f".{name}.unreachable"

    def check_free(self, name: str, *, replace: bool | None = None) -> None:
        """Refuse a name under which weights cannot be added; ``replace`` is None where the caller has no such option.

        Raises:
            UsageError: it is not a valid name, selects another descriptor, or is taken and ``replace`` is not set.
        """
        if not PLAIN_NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} is not a name for weights; use small letters and digits, with single '-' and '_' between "
                "them"
            )
        if name in _RESERVED:
            raise UsageError(f"{name!r} has a meaning of its own as a descriptor; choose another name")
        if self._path(name).exists() and not replace:
            remedy = f", or remove them first with 'impasto models remove {name}'"
            if replace is not None:
                remedy = ", or replace them"
            raise UsageError(f"weights {name!r} are stored already; choose another name{remedy}")

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}{SUFFIX}"

    def _stored(self, name: str) -> Path:
        names = [entry.name for entry in self.entries()]
        if name not in names:
            raise UnknownNameError("stored descriptor", name, names)
        return self._path(name)

    def _lock(self, name: str) -> FileLock:
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / f".{name}.lock")

    def _write(self, name: str, weights: DescriptorWeights, *, origin: str = "", license: str = "") -> StoredWeights:
        """Write to a temporary name of our own, then rename: readers see the old file or the new one."""
        path = self._path(name)
        extra = {"origin": weights.origin or origin, "license": weights.license or license}
        extra["content_sha256"] = _content_digest({**describe(weights), **extra}, weights.tensors)
        temporary = self.folder / f".{name}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
        with _writing(path):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                write_safetensors(weights, temporary, extra)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        return self._entry(path)

    def _entry(self, path: Path) -> StoredWeights:
        name, size = path.name.removesuffix(SUFFIX), path.stat().st_size
        try:
            metadata = read_metadata(path)
            preprocessing = stated_preprocessing(path.name, metadata)
        except WeightsFormatError as error:
            return StoredWeights(name, path, size, problem=str(error))
        return StoredWeights(
            name,
            path,
            size,
            architecture=metadata.get("architecture", ""),
            source_format=metadata.get("source_format", ""),
            sha256=metadata.get("source_sha256", ""),
            mean=preprocessing.mean if preprocessing else (),
            std=preprocessing.std if preprocessing else (),
            origin=metadata.get("origin", ""),
            license=metadata.get("license", ""),
            problem="" if preprocessing else f"{path.name} was not written by impasto",
        )


def default_store() -> WeightsStore:
    """Return the user's store, in `weights_folder`.

    ``IMPASTO_WEIGHTS_MIRRORS`` lists base addresses, separated by commas, that downloads try first.
    """
    mirrors = os.environ.get("IMPASTO_WEIGHTS_MIRRORS", "").split(",")
    return WeightsStore(
        weights_folder(),
        mirrors=[mirror.strip() for mirror in mirrors if mirror.strip()],
    )


@contextmanager
def _writing(path: Path, kind: type[WeightsError] = WeightsError) -> Iterator[None]:
    """Turn disk errors into an error of this ``kind`` that names the remedy."""
    try:
        yield
    except (OSError, SafetensorError) as error:  # a full disk may raise the latter
        reason = getattr(error, "strerror", None) or error
        raise kind(f"cannot write {path}: {reason}; make room there or set IMPASTO_WEIGHTS_DIR") from error


def _content_digest(metadata: Mapping[str, str], tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of a file's content without this digest, which the file contains: both change in one rename."""
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
