"""Writes the pages of docs/reference from the code: ``python docs/reference.py``; a test compares them with it."""

from __future__ import annotations

import ast
import inspect
import json
import re
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic_core import PydanticUndefined

import impasto.errors
from impasto.cli.main import app
from impasto.engines.catalog import OPTIONS
from impasto.errors import ImpastoError
from impasto.service import wiring
from impasto.service.settings import Settings
from impasto.service.web.health_routes import Metrics
from impasto.service.web.page_texts import EXPLANATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydantic.fields import FieldInfo

DOCS = Path(__file__).parent
SOURCE = Path(impasto.__file__).parent

_OPTIONS_HEAD = """# Options of the engines

The same names everywhere: `--style-weight` on the command line, `style_weight=` in Python, a field of the form over
HTTP.
"""
_SETTINGS_HEAD = """# Settings of the service

Each is a variable, `IMPASTO_` and its name, or a line in `impasto.toml` in the working directory, such as
`max_upload = 20971520`; flags of `impasto serve` and `impasto worker` win over variables, and those over the file.
Lists are JSON: `IMPASTO_QUEUES='["cpu", "gpu"]'`. Times are seconds.

"""
_ERRORS_HEAD = """# Errors

What impasto refuses, it refuses with one sentence that names the numbers and the remedy. In Python it is one of these:

"""
_CODES_HEAD = """
The command line exits with 0 when all is done, 1 when it failed, 2 for wrong usage, 3 when some of several pictures
failed, 130 when interrupted.

## Codes of the service

An answer that is an error has a `code` that never changes, and so has a job that failed. What the page says of it:

"""
_ROUTES_HEAD = """# HTTP API

Fields, answers and types are in {download}`openapi.json <../openapi.json>` (OpenAPI 3.1); [the service](../service.md)
says how to use them, [errors](errors.md) lists the codes.

"""
_METRICS_HEAD = """# Metrics

`GET /metrics` answers in the format of Prometheus. What is said of jobs and messages comes from the job table and is
the same in all processes.

"""
_MODELS_HEAD = """# Model cards

The weights in the package were trained by this project, on pictures that are not part of it, and are Apache-2.0. Each
has its card as JSON beside it. The codes of the gallery ([styles](../styles.md)) belong to the conditional network.
"""


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table in Markdown."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def command_line() -> str:
    """Every command with its arguments and flags, as ``--help`` says them."""
    text = app.generate_docs(output_format="markdown")
    return re.sub(r"^# impasto\n", "# Command line\n", text).rstrip() + "\n"


def options() -> str:
    """Every option of every engine."""
    parts = [_OPTIONS_HEAD]
    for engine, model in OPTIONS.items():
        entries = [
            f"- **`{name}`**: {field.description} *{_kind(field)}; default: {_default(field)}.*\n"
            for name, field in model.model_fields.items()
        ]
        parts.append(f"\n## {engine}\n\n{''.join(entries)}")
    return "".join(parts)


_WORDS: dict[Any, str] = {int: "A whole number", float: "A number", str: "Text", bool: "True or false"}


def _kind(field: FieldInfo) -> str:
    text = " or ".join(_WORDS.get(kind, f"`{kind}`") for kind in _parts(field.annotation))
    bounds = {"Ge": "at least", "Gt": "more than", "Le": "at most", "Lt": "less than"}
    for limit in field.metadata:
        word = bounds.get(type(limit).__name__)
        if word:
            (value,) = vars(limit).values() if hasattr(limit, "__dict__") else (getattr(limit, limit.__slots__[0]),)
            text += f", {word} {value:g}"
    return text


def _parts(annotation: Any) -> list[Any]:
    """Return the types and values that ``annotation`` allows."""
    inner = [part for part in get_args(annotation) if part is not type(None)]
    return [each for part in inner for each in _parts(part)] if inner else [annotation]


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    if default is PydanticUndefined or default is None:
        return "none"
    return f"`{default if isinstance(default, str) else json.dumps(default, default=str).removesuffix('.0')}`"


def settings() -> str:
    """Every setting of the service."""
    rows = [
        (
            f"`IMPASTO_{name.upper()}`",
            "in the user's data folder" if name == "data_dir" else _default(field),
            field.description,
        )
        for name, field in Settings.model_fields.items()
    ]
    return _SETTINGS_HEAD + table(("variable", "default", "meaning"), rows)


def errors() -> str:
    """Every error of the library, and every code of the service."""
    tree = [kind for kind in vars(impasto.errors).values() if isinstance(kind, type) and issubclass(kind, ImpastoError)]
    kinds = [
        (f"`{kind.__name__}`", f"`{kind.__mro__[1].__name__}`", (inspect.getdoc(kind) or "").partition("\n\n")[0])
        for kind in tree
    ]
    codes = sorted({*EXPLANATIONS, *_codes(), *(kind.code for kind in tree)})
    meanings = [(f"`{code}`", EXPLANATIONS.get(code) or _OTHER_CODES[code]) for code in codes]
    return (
        _ERRORS_HEAD + table(("error", "is a", "meaning"), kinds) + _CODES_HEAD + table(("code", "meaning"), meanings)
    )


_OTHER_CODES = {
    "bad_request": "The form or the JSON lacks a field, or has a wrong one.",
    "cannot_write": "The service cannot keep a file that it needs: its disk is full, or not writable.",
    "conflict": "Contradicts what is known: another request has the idempotency key, or the job cannot be tried again.",
    "cross_site": "Another site's page sent this in the name of a visitor.",
    "damaged": "The server no longer has the result as it was painted; have it painted again.",
    "expired": "The result, or the link to it, has expired.",
    "failed": "A defect of the service; its log has the whole story.",
    "forbidden": "The page without JavaScript cannot send keys.",
    "head_too_large": "The path and the headers of the request are too large or too many.",
    "no_preview": "The job has no preview now.",
    "no_thumbnail": "The style has no thumbnail.",
    "no_such_range": "The result ends before the part that was asked for.",
    "not_found": "There is no such job, style or file, or it belongs to somebody else.",
    "not_ready": "The job has no result yet, or will have none.",
    "unsupported_charset": "The texts of the request are in another encoding than UTF-8.",
}


def _codes() -> set[str]:
    """Return the codes that the web layer gives, by the calls that give them."""
    found = set()
    for path in (SOURCE / "service/web").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Problem":
                code = node.args[1]
                if isinstance(code, ast.Constant):
                    found.add(str(code.value))
    return found


def routes() -> str:
    """Every operation of the HTTP API."""
    described = json.loads((DOCS / "openapi.json").read_text())
    rows = [
        (f"`{method.upper()} {path}`", operation["description"].partition("\n\n")[0].replace("\n", " "))
        for path, operations in sorted(described["paths"].items())
        for method, operation in operations.items()
    ]
    return _ROUTES_HEAD + table(("operation", "what it does"), rows)


def metrics() -> str:
    """Every metric."""
    with tempfile.TemporaryDirectory() as folder, closing(wiring.build(Settings(data_dir=Path(folder)))) as parts:
        text = Metrics(parts.upkeep).text().decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    rows = [
        (f"`{name}`", kinds[name], meaning)
        for name, meaning in re.findall(r"^# HELP (\S+) (.+)$", text, re.MULTILINE)
        if not name.endswith("_created")
    ]
    return _METRICS_HEAD + table(("metric", "kind", "meaning"), rows)


def models() -> str:
    """Every bundled weight, by its card."""
    parts = [_MODELS_HEAD]
    for path in sorted((SOURCE / "bundled").rglob("*.json")):
        card = json.loads(path.read_text())
        if "recipe" not in card:
            continue
        recipe = card["recipe"]
        facts = [
            ("file", f"`{path.with_suffix('.safetensors').relative_to(SOURCE)}`, {card['bytes']:,} bytes"),
            ("sha256", f"`{card['sha256']}`"),
            ("parameters", f"{card['parameters']:,}"),
            ("style", "; ".join(card.get("style", [])) or "any"),
            ("data", _data(card["data"])),
            ("trained by", f"`{recipe['command']}`"),
            ("licence", card["license"]),
        ]
        name = path.parent.name if path.parent.name != "bundled" else path.stem
        parts.append(f"\n## {card['title']}: {name}\n\n{table(('', ''), facts)}")
    return "".join(parts)


def _data(data: dict[str, Any]) -> str:
    parts = []
    for name, found in ({"": data} if "pictures" in data else data).items():
        label = f"{name}: " if name else ""
        if isinstance(found, dict):
            parts.append(f"{label}{found['pictures']:,} pictures of {', '.join(found['folders'])}")
        elif isinstance(found, list):
            parts.append(f"{label}{', '.join(found)}")
    return "; ".join(parts) or "the style alone"


PAGES: dict[str, Callable[[], str]] = {
    "command-line": command_line,
    "options": options,
    "settings": settings,
    "errors": errors,
    "http-api": routes,
    "metrics": metrics,
    "models": models,
}


def write() -> dict[str, Any]:
    """Write all pages; return them by name."""
    pages = {name: page() for name, page in PAGES.items()}
    for name, text in pages.items():
        (DOCS / "reference" / f"{name}.md").write_text(text)
    return pages


if __name__ == "__main__":
    write()
