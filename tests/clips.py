"""Films made for tests."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np


def write_clip(path, frames, *, times=None, rate=25, sound=False, matrix=1, shape=Fraction(1)):
    """Write ``frames``, each (H, W, 3) in [0, 1], as a film with or without a tone; return ``path``."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "10"}
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, 1
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.sample_aspect_ratio = shape
        voice = None
        if sound:
            voice = container.add_stream("aac", rate=44100)
            voice.layout = "mono"
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray((pixels * 255).round().astype(np.uint8), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=matrix)
            frame.pts = times[number] if times else number * 1000 // rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if voice:
            tone = np.sin(2 * np.pi * 440 * np.arange(44100 * len(frames) // rate) / 44100).astype(np.float32)[None]
            for begin in range(0, tone.shape[1], 1024):
                part = np.ascontiguousarray(tone[:, begin : begin + 1024])
                heard = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
                heard.sample_rate, heard.pts = 44100, begin
                container.mux(voice.encode(heard))
            container.mux(voice.encode())
    return path
