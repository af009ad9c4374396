"""A bundle in plain words, without templates: what a page says when they fail.

What incidents are called comes from outside. A title may hold line feeds that would add headers to a mail, escape
sequences that would write on a terminal, or marks that turn the direction of text: none of that gets into a message.
"""

import unicodedata
from datetime import UTC, datetime
from typing import Final

from tocsin.core.ids import format_id
from tocsin.core.paging.effects import Bundle, Item
from tocsin.roles.delivery.message import Message

ITEMS_NAMED_MAX: Final = 10
"""Incidents that a text names; of the rest the number is told."""
TITLE_MAX: Final = 200
TITLE_SHOWN_MAX: Final = 100
"""Of a title in one line, so that what stands behind it is not cut off."""
SHORT_MAX: Final = 160
"""What one text message holds."""
SPOKEN_MAX: Final = 500
"""What somebody listens to."""
INDENT_MAX: Final = 8
UNTITLED: Final = "(no title)"
_UNPRINTABLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def clean(text: str, length_max: int = TITLE_MAX) -> str:
    """One line of printable text of at most so many characters; what is no text becomes a space."""
    text = text[: 4 * length_max]
    if not text.isprintable():
        text = "".join(" " if unicodedata.category(sign) in _UNPRINTABLE else sign for sign in text)
    line = " ".join(text.split())
    return line if len(line) <= length_max else line[: length_max - 1] + "…"


def clean_lines(text: str, length_max: int) -> str:
    """Lines of printable text, indented as they were, of at most so many characters in all; of several empty lines one
    is left.
    """
    lines: list[str] = []
    room = length_max
    for raw in text.split("\n"):
        indent = min(len(raw) - len(raw.lstrip(" ")), INDENT_MAX)
        line = (" " * indent + clean(raw, max(room, 1))).rstrip()
        if line or (lines and lines[-1]):
            lines.append(line)
            room -= len(line) + 1
        if room <= 0:
            break
    return "\n".join(lines).strip("\n") + "\n" if any(lines) else ""


def since(at_us: int) -> str:
    """When an incident began, for people."""
    try:
        return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return "a time that is none"


def render(bundle: Bundle) -> Message:
    """The message of a bundle. Raises nothing for any bundle."""
    new = [item for item in bundle.items if item.is_new]
    old = [item for item in bundle.items if not item.is_new]
    first = new[0].assignment if new else bundle.items[0].assignment
    title, service = clean(first.title, TITLE_SHOWN_MAX) or UNTITLED, clean(first.service)
    more = len(bundle.items) - 1
    subject = clean(f"[{service}] {title}" + (f" (+{more} more)" if more else ""), SHORT_MAX)
    lines = [f"{len(new)} new:", *_lines(new)]
    if old:
        lines += ["", f"{len(old)} still open:", *_lines(old)]
    spoken = f"Tocsin. {len(bundle.items)} open incident{'s' * bool(more)}. {service}: {title}."
    return Message(bundle.intent.name, bundle, subject, subject, "\n".join(lines) + "\n", clean(spoken, SPOKEN_MAX))


def _lines(items: list[Item]) -> list[str]:
    named = [
        f"- {clean(one.title) or UNTITLED} | {clean(one.service)} | {clean(one.source)} | "
        f"{format_id(one.incident.id)} since {since(one.since_us)}"
        for one in (item.assignment for item in items[:ITEMS_NAMED_MAX])
    ]
    rest = len(items) - len(named)
    return [*named, f"- and {rest} more"] if rest else named
