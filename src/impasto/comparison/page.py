"""A comparison as one self-contained HTML file, for small and large screens, light and dark."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from impasto.images import encode_picture

if TYPE_CHECKING:
    from impasto.comparison.compare import Result
    from impasto.types import Picture

_QUALITY = 90
_STYLE = """
:root { color-scheme: light dark; --faint: color-mix(in srgb, currentColor 18%, transparent); }
body { margin: 0 auto; padding: 1rem; max-width: 90rem; font: 1rem/1.45 system-ui, sans-serif; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.pictures { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 16rem), 1fr)); }
figure { margin: 0; } figure img { width: 100%; height: auto; display: block; }
figcaption { font-size: .9rem; overflow-wrap: anywhere; } figcaption strong { display: block; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--faint); text-align: right; }
th:nth-child(2), td:nth-child(2) { text-align: left; min-width: 12rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; padding: .6em; border: 1px solid var(--faint); font-size: .8em; }
"""


@dataclass(frozen=True)
class Entry:
    """One picture of the page, or the reason that it is missing."""

    file: str
    """File name of the picture, if pictures are also written as files."""
    result: Result
    command: str
    """Command that makes the picture again."""


@dataclass
class Page:
    """The content of a comparison page; entries are added one by one."""

    title: str
    note: str
    """Advice on what to look for; paragraphs are separated by empty lines."""
    inputs: list[tuple[str, Picture]]
    """Captions and pictures."""
    columns: int
    """Number of ``entries`` in a row."""
    entries: list[Entry] = field(default_factory=list)

    @property
    def rows(self) -> list[list[Entry]]:
        """The entries in rows; the last row may be shorter."""
        return [self.entries[start : start + self.columns] for start in range(0, len(self.entries), self.columns)]


def comparison_page(page: Page) -> str:
    """Return the page as HTML with embedded pictures."""
    paragraphs = "".join(f"<p>{escape(text)}</p>" for text in page.note.split("\n\n") if text.strip())
    inputs = "".join(_figure(picture, escape(caption)) for caption, picture in page.inputs)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(page.title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(page.title)}</h1>
{paragraphs}
<div class="pictures">{inputs}</div>
{"".join(map(_row, page.rows))}
<h2>Numbers</h2>
<p>Losses are those of the last step, multiplied by the weights of each picture. Distances contain no weights: they are
measured in the same way for all pictures, and 0 means equal. Content: mean squared difference of relu4_2, with each
channel scaled to mean 0 and variance 1. Style: squared distance of Gram matrices relative to those of the style image,
averaged over relu1_1 to relu5_1. Memory: the peak of the process while it painted, including what it held before.</p>
<div class="scroll">{_table(page.entries)}</div>
<h2>Commands</h2>
{"".join(_command(entry) for entry in page.entries)}
</body>
</html>
"""


def _row(entries: list[Entry]) -> str:
    heading = f"<h2>{escape(entries[0].result.variant.row or 'Results')}</h2>"
    return f'{heading}\n<div class="pictures">{"".join(map(_result, entries))}</div>\n'


def _result(entry: Entry) -> str:
    result = entry.result
    label = f"<strong>{escape(result.variant.column)}</strong>"
    if result.picture is None:
        return f"<figure><figcaption>{label}failed: {escape(result.error)}</figcaption></figure>"
    distances = f"content distance {result.distances['content']:.3f}, style distance {result.distances['style']:.3f}"
    number = entry.file.partition(".")[0]
    return _figure(result.picture, f'{label}{distances}; <a href="#{number}">{number}</a>')


def _figure(picture: Picture, caption: str) -> str:
    data = base64.b64encode(encode_picture(picture, "webp", keep_profile=False, quality=_QUALITY)).decode()
    size = f'width="{picture.width}" height="{picture.height}"'
    return f'<figure><img {size} alt="" src="data:image/webp;base64,{data}"><figcaption>{caption}</figcaption></figure>'


def _table(entries: list[Entry]) -> str:
    names = list(dict.fromkeys(name for entry in entries for name in entry.result.losses))
    heads = [
        "",
        "options",
        "content distance",
        "style distance",
        *(f"{name} loss, weighted" for name in names),
        "seconds",
        "MiB",
    ]
    lines = []
    for entry in entries:
        result = entry.result
        numbers = [f"{result.distances[name]:.4f}" if result.distances else "" for name in ("content", "style")]
        numbers += [f"{result.losses[name]:.4g}" if name in result.losses else "" for name in names]
        numbers += [f"{result.seconds:.1f}" if result.picture else "failed"]
        numbers += [f"{result.peak_memory / 2**20:.0f}" if result.peak_memory else ""]
        cells = [entry.file.partition(".")[0], escape(result.variant.label), *numbers]
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{name}</th>" for name in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _command(entry: Entry) -> str:
    number = entry.file.partition(".")[0]
    return f'<p id="{number}">{number}: {escape(entry.result.variant.label)}</p>\n<pre>{escape(entry.command)}</pre>\n'
