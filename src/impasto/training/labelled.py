"""Pictures in one folder per class: the survey of their problems, and the split for training."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from impasto.errors import ImageError, UsageError
from impasto.files import write_whole
from impasto.images import PICTURE_SUFFIXES, open_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")

_FEWEST = 3
"""Smallest number of pictures of a class, one for each part of the split."""
_WORKERS = 4


@dataclass(frozen=True)
class Example:
    """One picture and its class."""

    path: Path
    label: int
    """Index into the names of the classes."""
    digest: str
    """sha256 of the file."""


@dataclass(frozen=True)
class Survey:
    """Pictures and classes that were found in a folder of folders."""

    classes: tuple[str, ...]
    examples: tuple[Example, ...]
    unreadable: tuple[tuple[Path, str], ...] = ()
    """Files that are left out, each with its problem."""
    duplicates: tuple[tuple[Path, ...], ...] = ()
    """Groups of identical files in one class; each group stays in one part of the split."""
    contradictions: tuple[tuple[Path, ...], ...] = ()
    """Groups of identical files in several classes; they are left out."""
    ignored: int = 0
    """Number of files whose names do not end like those of pictures."""

    def report(self) -> list[str]:
        """Return lines of text with findings that the user should know before the training."""
        counts = Counter(example.label for example in self.examples)
        lines = [f"{len(self.examples)} pictures in {len(self.classes)} classes"]
        lines += [f"  {name}: {counts[label]}" for label, name in enumerate(self.classes)]
        lines += [f"unreadable, left out: {_short(path)}: {why}" for path, why in self.unreadable]
        lines += [f"the same file twice: {', '.join(map(_short, paths))}" for paths in self.duplicates]
        lines += [
            f"the same file in several classes, left out: {', '.join(map(_short, paths))}"
            for paths in self.contradictions
        ]
        if self.ignored:
            lines.append(f"{self.ignored} files ignored: their names do not end like those of pictures")
        return lines


def survey(folder: Path, *, on_file: Callable[[int, int], None] | None = None) -> Survey:
    """Examine every picture of every class before the training.

    Args:
        folder: a folder with one subfolder per class, named after the class.
        on_file: called with the numbers of examined files and of all files.

    Raises:
        UsageError: there are fewer than two classes, or a class has too few pictures that can be read.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; name one that holds a folder of pictures per class")
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(names) < 2:
        raise UsageError(f"{folder} holds {len(names)} folders; a classifier needs one per class, at least two")
    files, ignored = [], 0
    for label, name in enumerate(names):
        for path in sorted((folder / name).rglob("*")):
            if path.is_file() and path.suffix.lower() in PICTURE_SUFFIXES:
                files.append((path, label))
            else:
                ignored += path.is_file()
    examples: list[Example] = []
    unreadable: list[tuple[Path, str]] = []
    with ThreadPoolExecutor(_WORKERS) as pool:
        for done, ((path, label), (digest, problem)) in enumerate(
            zip(files, pool.map(_examine, [path for path, _ in files]), strict=True), start=1
        ):
            if problem:
                unreadable.append((path, problem))
            else:
                examples.append(Example(path, label, digest))
            if on_file:
                on_file(done, len(files))
    groups: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        groups[example.digest].append(example)
    wrong = {digest for digest, group in groups.items() if len({example.label for example in group}) > 1}
    kept = tuple(example for example in examples if example.digest not in wrong)
    counts = Counter(label for label, _ in {(example.label, example.digest) for example in kept})
    for label, name in enumerate(names):
        if counts[label] < _FEWEST:
            raise UsageError(
                f"class {name!r} has {counts[label]} different pictures that can be read; {_FEWEST} are needed at "
                "least: one to train on, one to validate with, one to test with"
            )
    return Survey(
        tuple(names),
        kept,
        tuple(unreadable),
        tuple(
            tuple(example.path for example in group)
            for digest, group in groups.items()
            if len(group) > 1 and digest not in wrong
        ),
        tuple(tuple(example.path for example in groups[digest]) for digest in sorted(wrong)),
        ignored,
    )


def split(examples: Sequence[Example], *, validation: float, test: float, seed: int) -> dict[Part, list[Example]]:
    """Divide each class into parts by the given shares; identical files stay together.

    Every part gets at least one picture of every class.
    """
    parts: dict[Part, list[Example]] = {part: [] for part in PARTS}
    random = np.random.default_rng(seed)
    for label in sorted({example.label for example in examples}):
        groups: dict[str, list[Example]] = defaultdict(list)
        for example in examples:
            if example.label == label:
                groups[example.digest].append(example)
        digests = sorted(groups)
        random.shuffle(digests)
        total = sum(len(group) for group in groups.values())
        # Each part gets one picture first, then its share; the rest goes to training.
        for part in PARTS:
            parts[part] += groups[digests.pop()]
        held_out: dict[Part, float] = {"validation": validation, "test": test}
        for part, share in held_out.items():
            have = sum(each.label == label for each in parts[part])
            while digests and have < round(share * total):
                group = groups[digests.pop()]
                parts[part] += group
                have += len(group)
        for digest in digests:
            parts["train"] += groups[digest]
    return parts


def write_split(parts: dict[Part, list[Example]], classes: Sequence[str], folder: Path, path: Path) -> None:
    """Write the pictures of each part, by names relative to ``folder``, as JSON."""
    content = {"classes": list(classes)}
    for part in PARTS:
        content[part] = sorted(example.path.relative_to(folder).as_posix() for example in parts[part])
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n")


def _examine(path: Path) -> tuple[str, str]:
    """Return the sha256 of a file and its problem, or '' if it has none."""
    try:
        data = path.read_bytes()
        open_picture(data)
    except ImageError as error:
        return "", str(error)
    except OSError as error:
        return "", (error.strerror or str(error)).lower()
    return hashlib.sha256(data).hexdigest(), ""


def _short(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
