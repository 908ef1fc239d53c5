"""Joining of painted parts with the sound, the subtitles, the chapters and the tags of a film."""

from __future__ import annotations

import heapq
import io
import re
import tempfile
from dataclasses import dataclass
from itertools import chain, islice, takewhile
from math import inf
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from impasto.errors import FileWriteError, needs_extra
from impasto.films.animations import LARGEST_STRIP, join_animation
from impasto.films.clips import Frame
from impasto.films.containers import FAILURES, packets, reading, writing

with needs_extra("a film", "film"):
    import av
    from av.stream import Disposition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from fractions import Fraction

    from impasto.films.clips import Clip
    from impasto.films.containers import Encoding

_OPTIONS = {form: {"movflags": "faststart"} for form in ("mp4", "mov")}
_TAGS = ("title", "artist", "album_artist", "album", "track", "composer", "genre", "copyright")
"""Metadata that are kept. Others may reveal the place or the camera, under names that manufacturers chose."""
_TRIED = 1.0
"""Seconds of the tracks that `check_joining` writes."""

Timed = tuple[float, Any]
"""The time of a packet in seconds, from the beginning of the film, and the packet."""
_RATE = 48_000
"""Sample rate in Hz of sound that has to be encoded again."""
_SUBTITLES = {"mp4": "mov_text", "mov": "mov_text"}  # containers for which FFmpeg names no codec
_READERS = {"3gp": "mp4", "webm": "matroska"}
_TRIED_PACKETS = 8
"""Number of packets that are written to find out if a container can hold a track."""
_TRACK_TAGS = ("language", "title")
_MARKS = Disposition.default | Disposition.forced | Disposition.hearing_impaired | Disposition.visual_impaired
_PLACE = re.compile(rb"(?:\bGPS\b|latitude|longitude|\bHOME)[\s:=(\[]*[NSEW]?[\s:=]*[-+]?\d", re.IGNORECASE)
"""A location word (such as GPS or latitude) followed by a number. Drones write these into subtitles, next to the camera
settings."""


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


@dataclass(frozen=True)
class Track:
    """A track of sound or subtitles that goes into the result."""

    clip: Clip
    """The film that has the track."""
    index: int
    """Number of the track in the film."""
    codec: str | None
    """Codec with which the track is encoded again; None to copy it."""

    def add(self, container: Any) -> Iterator[Timed]:
        """Add the track to ``container``, which is open for writing, and return its packets."""
        with reading(self.clip.path) as source:
            given = source.streams[self.index]
            if self.codec is None:
                stream, made = container.add_stream_from_template(given), self._copied
            elif given.type == "audio":
                stream, made = container.add_stream(self.codec, rate=_RATE), self._sound
            else:
                stream, made = container.add_stream(self.codec), self._subtitles
                given.codec_context.open(strict=False)  # this makes its header
                stream.codec_context.subtitle_header = given.codec_context.subtitle_header
            stream.metadata.update({tag: given.metadata[tag] for tag in _TRACK_TAGS if tag in given.metadata})
            stream.disposition = given.disposition & _MARKS
        return made(stream)

    def fits(self, form: str) -> bool:
        """Return True if the track can be written into the container ``form`` and read again."""
        file = io.BytesIO()
        try:
            with av.open(file, "w", format=form) as trial:
                for _, packet in islice(self.add(trial), _TRIED_PACKETS):
                    trial.mux(packet)
                kind = trial.streams[0].type
            file.seek(0)
            with av.open(file, format=_READERS.get(form, form)) as trial:
                return [stream.type for stream in trial.streams] == [kind]
        except (*FAILURES, ValueError):  # PyAV raises ValueError if FFmpeg does not write the codec into the container
            return False

    def _given(self) -> Iterator[Any]:
        with reading(self.clip.path) as source:
            yield from packets(source, source.streams[self.index])

    def _copied(self, stream: Any) -> Iterator[Timed]:
        return _timed(self._given(), stream, self.clip.begin)

    def _sound(self, stream: Any) -> Iterator[Timed]:
        resampler = av.AudioResampler(format=stream.format.name, layout=stream.layout.name, rate=_RATE)
        heard = (frame for packet in self._given() for frame in packet.decode())
        for frame in chain(heard, [None]):
            for resampled in resampler.resample(frame):
                yield from _timed(stream.encode(resampled), stream, self.clip.begin)
        yield from _timed(stream.encode(), stream, self.clip.begin)

    def _subtitles(self, stream: Any) -> Iterator[Timed]:
        for packet in self._given():
            for shown in filter(None, [packet.stream.codec_context.decode2(packet)]):
                made = stream.codec_context.encode_subtitle(shown)
                made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
                made.time_base = packet.time_base
                yield from _timed([made], stream, self.clip.begin)


def kept_tracks(clip: Clip, form: str) -> tuple[list[Track], list[str]]:
    """Return the tracks of ``clip`` that the container ``form`` can hold, and a message for each track left out."""
    kept: list[Track] = []
    lost: list[str] = []
    if not clip.others:
        return kept, lost
    with reading(clip.path) as source, av.open(io.BytesIO(), "w", format=form) as container:
        subtitles = _SUBTITLES.get(form, container.default_subtitle_codec)
        codecs = {"audio": (container.default_audio_codec, "aac"), "subtitle": (subtitles,)}
        for given in (source.streams[number] for number in clip.others):
            kind = "sound" if given.type == "audio" else "subtitles"
            if given.type == "subtitle" and _shows_place(clip, given):
                lost.append(f"subtitles that contain locations are left out (track {given.index})")
                continue
            ways = (Track(clip, given.index, codec) for codec in (None, *codecs[given.type]))
            fitting = next((track for track in ways if given.codec_context and track.fits(form)), None)
            if fitting:
                kept.append(fitting)
            else:
                codec = given.codec_context.name if given.codec_context else "an unknown codec"
                lost.append(f"{kind} of {codec} cannot be kept in this container (track {given.index})")
    return kept, lost


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


def _shows_place(clip: Clip, given: Any) -> bool:
    if not given.codec_context or not given.codec_context.codec.text_sub:
        return False
    return any(_PLACE.search(bytes(packet)) for packet in Track(clip, given.index, None)._given())


def _timed(made: Iterable[Any], stream: Any, begin: Fraction) -> Iterator[Timed]:
    """Yield the packets, assigned to ``stream``, with times that count from ``begin``."""
    for packet in made:
        if packet.dts is None:  # the last packet of a file is empty
            continue
        offset = round(begin / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts - offset
        packet.dts -= offset
        packet.stream = stream
        yield float(packet.dts * packet.time_base), packet
