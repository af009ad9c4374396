"""Log records for machines and people: one line each, with an action to rely on and no secret.

A record is one line of JSON on stderr with a stable `action`, a word that alerts and searches can rely on while the
message beside it is free to improve; on a terminal the same record is laid out for reading. Secrets are taken out where
a record leaves the process, by the names in `SECRETS`, in fields and in texts, so that no caller has to remember.
"""

import json
import logging
import math
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, TextIO

SECRETS: Final = ("api_key", "authorization", "cookie", "otlp_headers", "password", "routing_key", "secret", "token")
"""Fields whose values are never shown, alone or as the end of a longer name (`admin_token`, `X-Routing-Key`)."""
REDACTED: Final = "[redacted]"
TEXT_MAX: Final = 8_192
"""A longer text in a record is cut."""
DEPTH_MAX: Final = 6
"""Fields nested deeper in a record are shown as text."""
CAUSES_MAX: Final = 16
"""Of a chain of exceptions so many links are told."""
QUIET: Final = ("asyncio", "httpcore2", "httpx2", "urllib3", "uvicorn.access")
"""Loggers that tell of every request or callback: only their warnings are of use, and a path can hold a secret."""

_NAME = r"(?:[\w-]*[_-])?(?:" + "|".join(name.replace("_", "[_-]?") for name in SECRETS) + ")"
_SECRET_NAME = re.compile(_NAME + r"\Z", re.IGNORECASE)
_SECRET_IN_TEXT = re.compile(
    rf"""(?P<name>\b{_NAME}["']?\s*[:=]\s*)(?:(?:bearer|basic|token)\s+(?:token=)?)?(?:"[^"]*"|'[^']*'|[^\s,;&)}}\]]+)""",
    re.IGNORECASE,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "action", "color_message"}


class Identity(NamedTuple):
    """Which process speaks."""

    region: str
    stack: str
    role: str


def configure_logging(
    identity: Identity, *, level: str = "INFO", stream: TextIO | None = None, as_json: bool | None = None
) -> None:
    """Sends all records of this process to the stream (stderr): as JSON, or for people when that is a terminal.

    Calling it again replaces what it set up before.
    """
    stream = stream or sys.stderr
    as_json = not stream.isatty() if as_json is None else as_json
    handler = _Handler(stream)
    handler.setFormatter((JsonFormatter if as_json else HumanFormatter)(identity))
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, so that it can be told from those of others on the root logger."""


class JsonFormatter(logging.Formatter):
    """One line of JSON a record: `time level action message region stack role logger`, then what the caller added."""

    def __init__(self, identity: Identity) -> None:
        super().__init__()
        self._identity = identity._asdict()

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        fields: dict[str, Any] = {
            "time": _time(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "action": _action(record),
            "message": redacted(record.getMessage()),
            **self._identity,
            "logger": record.name,
        }
        for name, value in _extras(record):
            fields[f"{name}_" if name in fields else name] = value
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            fields["error"] = redacted(explain(error))
            fields["traceback"] = redacted("".join(traceback.format_exception(error)))
        return json.dumps(fields, separators=(",", ":"))


class HumanFormatter(logging.Formatter):
    """The same record for a terminal: time of day (UTC), level, who, action, message, what the caller added."""

    def __init__(self, identity: Identity) -> None:
        super().__init__()
        self._who = f"{identity.role} {identity.region}/{identity.stack}"

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line, and below it the causes of its exception."""
        extras = "".join(
            f" {name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in _extras(record)
        )
        text = _CONTROL.sub(_escaped, redacted(record.getMessage()) + extras)
        time = _time(record).time().isoformat(timespec="milliseconds")
        line = f"{time} {record.levelname:<7} {self._who} {_action(record)}: {text}"
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            line += (
                "\n" + redacted("".join(traceback.format_exception(error))).rstrip() + "\n" + redacted(explain(error))
            )
        return line


def redacted(value: Any, depth: int = DEPTH_MAX) -> Any:
    """The value without secrets, in types that JSON knows; texts are cut at TEXT_MAX characters."""
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Mapping() if depth:
            return {
                str(name): REDACTED if _SECRET_NAME.match(str(name)) else redacted(inner, depth - 1)
                for name, inner in value.items()
            }
        case list() | tuple() | set() | frozenset() if depth:
            return [redacted(inner, depth - 1) for inner in value]
        case _:
            text = _SECRET_IN_TEXT.sub(rf"\g<name>{REDACTED}", str(value)[: 2 * TEXT_MAX])
            return text if len(text) <= TEXT_MAX else text[:TEXT_MAX] + f"... (cut, {len(str(value))} characters)"


def explain(error: BaseException) -> str:
    """An exception and what caused it, a line each: ours by their message alone, others with their type."""
    return "\n".join(f"{'because: ' if depth else ''}{link}" for depth, link in enumerate(_links(error)))


def _links(error: BaseException) -> Iterator[str]:
    link: BaseException | None = error
    for _ in range(CAUSES_MAX):
        if link is None:
            return
        if isinstance(link, BaseExceptionGroup) and len(link.exceptions) == 1:
            link = link.exceptions[0]
            continue
        text = str(link)
        if isinstance(link, BaseExceptionGroup):
            text += ": " + "; ".join(next(_links(member)) for member in link.exceptions[:CAUSES_MAX])
        ours = type(link).__module__.partition(".")[0] == "tocsin"
        yield text if ours and text else f"{type(link).__name__}: {text}" if text else type(link).__name__
        link = link.__cause__
    yield "(more causes, not told)"


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _action(record: logging.LogRecord) -> str:
    return str(getattr(record, "action", "log"))


def _extras(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    """What the caller added to a record beyond the action, without secrets."""
    added = {name: value for name, value in vars(record).items() if name not in _OWN_FIELDS}
    yield from redacted(added).items()


def _escaped(character: re.Match[str]) -> str:
    return repr(character[0])[1:-1]
