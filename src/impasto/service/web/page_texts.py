"""Texts of the page in its languages: English in the code, other languages in gettext catalogues."""

from __future__ import annotations

from gettext import translation
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gettext import NullTranslations

DEFAULT_LANGUAGE = "en"
LANGUAGES = {DEFAULT_LANGUAGE: "English", "zh": "中文"}
"""Names of the page's languages by code."""
_CATALOGUES = str(files("impasto.service.web") / "page" / "locale")


def _(text: str) -> str:
    """Mark ``text`` for translation; see CONTRIBUTING.md."""
    return text


STATES = {
    "sent": _("sent"),
    "queued_next": _("next in the queue"),
    "queued": _("{ahead} before it in the queue"),
    "running": _("{percent} %"),
    "succeeded": _("painted"),
    "failed": _("not painted: {reason}"),
    "canceled": _("cancelled"),
    "expired": _("deleted by the server"),
}
"""Texts for the states of a job. 'sent' is shown until the server reports the state; 'queued_next' is the state
'queued' if no job is before it."""
EXPLANATIONS = {
    "backlog_full": _("Too many pictures are waiting; try again later."),
    "bad_image": _("This file cannot be read as a picture; save it as JPEG or PNG and send that."),
    "bad_option": _("One of the settings is not valid."),
    "bad_style": _("This style does not work here; choose another."),
    "body_too_large": _("The picture is too large to send; make it smaller."),
    "busy": _("Too many people are sending pictures now; try again in a moment."),
    "crashed": _("Painting broke off; try again, with a smaller size if need be."),
    "damaged": _("The painted picture is damaged on the server; have it painted again."),
    "decode_failed": _("This file cannot be read as a picture; save it as JPEG or PNG and send that."),
    "diverged": _("The picture went wrong while it was painted; try other settings."),
    "engine_unavailable": _("The server lacks what this engine needs; choose another."),
    "image_too_large": _("The picture is too large; make it smaller."),
    "image_too_small": _("The picture is too small."),
    "input_missing": _("The photo is no longer on the server; send it again."),
    "out_of_memory": _("There is not enough memory for this size; choose a smaller one."),
    "storage": _("The server cannot keep pictures at the moment; try again later."),
    "storage_full": _("The server has no room for more pictures; try again later."),
    "timeout": _("Painting took too long; choose a smaller size or fewer steps."),
    "too_many_requests": _("Too many pictures in a short time; wait a minute."),
    "unauthorized": _("This service asks for a key; enter it under 'Access key'."),
    "unknown_name": _("The server does not know this name."),
    "weights_unavailable": _("The server could not fetch the weights that this engine needs; choose another engine."),
    "worker_lost": _("Painting broke off several times; try again later."),
}
"""Texts for errors, by their stable codes."""


def translations(language: str) -> NullTranslations:
    """Return the catalogue of ``language``, one of `LANGUAGES`; texts without an entry stay English."""
    return translation("page", _CATALOGUES, [language], fallback=True)


def texts_of_scripts(catalogue: NullTranslations) -> dict[str, dict[str, str]]:
    """Return the texts for scripts: the entries of ``catalogue``, and the English texts of states and errors."""
    # gettext has no public list of a catalogue's entries. Django's catalogue for JavaScript reads the same attribute.
    entries: dict[str, str] = getattr(catalogue, "_catalog", {})
    messages = {text: translated for text, translated in entries.items() if text}
    return {"messages": messages, "states": STATES, "explanations": EXPLANATIONS}
