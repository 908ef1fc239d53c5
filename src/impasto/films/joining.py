"""Joining of painted parts with the sound, the subtitles, the chapters and the tags of a film."""

from __future__ import annotations

import heapq
import tempfile
from itertools import takewhile
from math import inf
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from impasto.errors import FileWriteError
from impasto.films.animations import LARGEST_STRIP, join_animation
from impasto.films.clips import Frame
from impasto.films.containers import packets, reading, writing
from impasto.films.tracks import kept_tracks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from impasto.films.clips import Clip
    from impasto.films.encoding import Encoding
    from impasto.films.tracks import Timed, Track

_OPTIONS = {form: {"movflags": "faststart"} for form in ("mp4", "mov")}
_TAGS = ("title", "artist", "album_artist", "album", "track", "composer", "genre", "copyright")
"""Metadata that are kept. Others may reveal the place or the camera, under names that manufacturers chose."""
_TRIED = 1.0
"""Seconds of the tracks that `check_joining` writes."""


def join(
    parts: Sequence[Path],
    clip: Clip,
    tracks: Sequence[Track],
    target: Path,
    encoding: Encoding,
    facts: str,
    end: float = inf,
) -> None:
    """Write ``target``: the frames of the ``parts``, and the ``tracks`` and chapters of ``clip``.

    ``facts`` is stored as a comment in the file. Tracks end at the time ``end`` in seconds.

    Raises:
        FileWriteError: the container cannot hold the tracks, or the disk is full or read-only.
    """
    form = encoding.form
    if encoding.is_animation:
        join_animation(parts, clip, target, encoding, facts)
        return
    with reading(parts[0]) as first, writing(target, form, _OPTIONS.get(form)) as container:
        container.metadata.update({tag: clip.tags[tag] for tag in _TAGS if tag in clip.tags} | {"comment": facts})
        container.set_chapters([_chapter(chapter, clip) for chapter in clip.chapters])
        timed = [_pictures(parts, container.add_stream_from_template(first.streams.video[0]))]
        timed += [takewhile(lambda timed: timed[0] < end, track.add(container)) for track in tracks]
        # Packets are sorted by time. Otherwise, the container would have to buffer one stream.
        for _, packet in heapq.merge(*timed, key=itemgetter(0)):
            container.mux(packet)


def check_joining(clip: Clip, encoding: Encoding, target: Path) -> tuple[list[Track], list[str]]:
    """Write a film of one frame on trial; return the tracks that ``target`` will hold, and a sentence for each other.

    Raises:
        FileWriteError: ``target`` cannot be written.
    """
    if encoding.is_animation:
        if encoding.height * clip.frames > LARGEST_STRIP:
            raise FileWriteError(
                f"{clip.frames} frames of {encoding.width}x{encoding.height} are too many for an animation; choose a "
                "smaller size, or .mp4"
            )
        tracks: list[Track] = []
        lost = [f"a {encoding.form.upper()} has no sound"] if clip.others else []
    else:
        tracks, lost = kept_tracks(clip, encoding.form)
    try:
        with tempfile.TemporaryDirectory(prefix=".impasto-", dir=target.parent) as folder:
            part, film = Path(folder, "part"), Path(folder, "film")
            black = Frame(np.zeros((encoding.height, encoding.width, 3), np.float32), 0)
            encoding.write_part(part, [black], clip)
            join([part], clip, tracks, film, encoding, "", _TRIED)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise FileWriteError(f"cannot write {target}: {reason}; choose another folder") from error
    return tracks, lost


def _chapter(chapter: Any, clip: Clip) -> dict[str, Any]:
    offset = round(clip.begin / chapter["time_base"])
    title = {name: value for name, value in chapter["metadata"].items() if name == "title"}
    return {**chapter, "start": chapter["start"] - offset, "end": chapter["end"] - offset, "metadata": title}


def _pictures(parts: Sequence[Path], stream: Any) -> Iterator[Timed]:
    for part in parts:
        with reading(part) as opened:
            for packet in packets(opened, opened.streams.video[0]):
                if packet.dts is not None:  # the last packet of a file is empty
                    packet.stream = stream
                    yield float(packet.dts * packet.time_base), packet
