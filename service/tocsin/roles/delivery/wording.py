"""Wording: a bundle as templates tell it, short, long, and to be spoken.

The templates beside this module can be replaced by an operator's own, so they run in Jinja2's sandbox, see nothing but
printable text, and may fail: then the part that failed is told in plain words (`plain.py`), and the page goes out.
Nothing is escaped, since all of it is plain text; who makes something else of it escapes there.
"""

import logging
from pathlib import Path
from typing import Any, Final

from jinja2 import FileSystemLoader, StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tocsin.core.ids import format_id
from tocsin.core.paging.effects import Bundle, Item
from tocsin.roles.delivery import plain
from tocsin.roles.delivery.message import Message

TEMPLATES: Final = Path(__file__).parent / "templates"
PARTS: Final = {"subject": plain.SHORT_MAX, "short": plain.SHORT_MAX, "long": 16_000, "spoken": plain.SPOKEN_MAX}
"""What a message is made of, and how many characters of each go out."""
ITEMS_MAX: Final = 50
"""Incidents that a template sees of the new ones, and of those that are open from before."""
_log = logging.getLogger(__name__)


class Wording:
    """Renders bundles by templates."""

    def __init__(self, own: Path | None = None) -> None:
        """`own`: a folder with templates that go before Tocsin's. Of one that cannot be used the log tells."""
        folders = [*([own] if own else []), TEMPLATES]
        environment = ImmutableSandboxedEnvironment(
            loader=FileSystemLoader(folders),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,
        )
        self._templates = {part: template for part in PARTS if (template := _loaded(environment, part))}

    def render(self, bundle: Bundle) -> Message:
        """The message of a bundle. Raises nothing for any bundle or template."""
        facts = _facts(bundle)
        made = {}
        for part, length_max in PARTS.items():
            text = self._text(part, facts)
            made[part] = plain.clean_lines(text, length_max) if part == "long" else plain.clean(text, length_max)
        if not all(made.values()):
            fallback = plain.render(bundle)
            made = {part: text or getattr(fallback, part) for part, text in made.items()}
        return Message(bundle.intent.name, bundle, **made)

    def _text(self, part: str, facts: dict[str, Any]) -> str:
        """A part as its template tells it, empty when that fails."""
        template = self._templates.get(part)
        if template is None:
            return ""
        try:
            return template.render(facts)
        except Exception as error:  # noqa: BLE001 - what a template raises may be anything; the page goes out
            _failed(part, error)
            return ""


def _loaded(environment: ImmutableSandboxedEnvironment, part: str) -> Template | None:
    try:
        return environment.get_template(f"{part}.j2")
    except (TemplateError, OSError, UnicodeDecodeError) as error:
        _failed(part, error)
        return None


def _failed(part: str, error: Exception) -> None:
    extra = {"action": "template_failed", "template": f"{part}.j2"}
    _log.error("the template %s.j2 fails, so plain words are sent in its place: %s", part, error, extra=extra)


def _facts(bundle: Bundle) -> dict[str, Any]:
    """What templates see."""
    new = [item for item in bundle.items if item.is_new]
    before = [item for item in bundle.items if not item.is_new]
    intent = bundle.intent
    return {
        "name": plain.clean(bundle.person.name or bundle.person.id),
        "method": plain.clean(bundle.method.id),
        "urgency": plain.clean(intent.channel.urgency),
        "region": plain.clean(intent.id.region),
        "page": plain.clean(intent.name),
        "first": _incident((new or before)[0]),
        "others": len(bundle.items) - 1,
        "new": [_incident(item) for item in new[:ITEMS_MAX]],
        "new_total": len(new),
        "open": [_incident(item) for item in before[:ITEMS_MAX]],
        "open_total": len(before),
    }


def _incident(item: Item) -> dict[str, str]:
    one = item.assignment
    return {
        "id": format_id(one.incident.id),
        "title": plain.clean(one.title) or plain.UNTITLED,
        "service": plain.clean(one.service),
        "source": plain.clean(one.source),
        "since": plain.since(one.since_us),
    }
