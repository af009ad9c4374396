"""What a JSON value may hold, and rules to check one by: every flaw is named by its place, and all are collected.

Theory
------
What one database would refuse and another take is settled before anything is stored, the same way in every region:
NUL characters, lone surrogates, integers past 64 bits, numbers that are not finite, nesting without end. These laws
hold for every value anywhere in a body, known or unknown; rules (`Text`, `Choice`, ...) hold for the members that have
a meaning.

Good bodies are nearly all bodies, so there are two paths. The quick one decodes in C and looks at every value once,
iteratively. What does not pass it is decoded again by the slow path, which knows the place of each flaw. Only the slow
path recurses, and never before the depth was found to be within its bound.
"""

import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from math import isfinite
from typing import Any, Final, NamedTuple, Protocol

import msgspec

DEPTH_MAX: Final = 64
"""Arrays and objects within each other, the outermost included."""
INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**64 - 1
"""Signed or unsigned, an integer fits in 64 bits: counters and hashes of real senders are unsigned."""
ERRORS_MAX: Final = 50
"""Flaws that are told of one body; the rest is counted."""
NAME_LENGTH_MAX: Final = 200
"""Characters of a place's name: its end is cut, because members of strangers can have keys of any length."""

_DECODER: Final = msgspec.json.Decoder()
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[][{}:,]', re.DOTALL)
_INT_DIGITS_MAX: Final = 20
_KINDS: Final = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}


class NotJson(Exception):
    """The bytes are no JSON text; the message says where that shows."""


def decode(body: bytes) -> tuple[Any, list[str]]:
    """The value of a JSON text and what is wrong with it anywhere; of an object's equal keys the last one counts.

    When the nesting is too deep, the value is None. Raises `NotJson`.
    """
    try:
        value = _DECODER.decode(body)
    except (ValueError, RecursionError) as error:
        value, errors = _diagnose(body)
        if not errors:
            raise NotJson(str(error)) from error
        return value, errors
    # A NUL can only be written as this escape; the text may also hold it behind another backslash, as no NUL.
    if b"\\u0000" in body or not _is_plain(value):
        return _diagnose(body)
    return value, []


def _is_plain(value: Any) -> bool:
    """Whether nesting and integers are within bounds: one look at each value, level by level."""
    level = [value] if type(value) in (dict, list) else []
    for _ in range(DEPTH_MAX):
        deeper: list[Any] = []
        for node in level:
            for inner in node.values() if type(node) is dict else node:
                kind = type(inner)
                if kind is dict or kind is list:
                    deeper.append(inner)
                elif kind is int and not INT_MIN <= inner <= INT_MAX:
                    return False
        if not deeper:
            return True
        level = deeper
    return False


def _diagnose(body: bytes) -> tuple[Any, list[str]]:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise NotJson(f"byte 0x{body[error.start]:02x} at {error.start} is not UTF-8 ({error.reason})") from error
    place = _too_deep(text)
    if place is not None:
        return None, [f"{_quoted(place)} is nested deeper than {DEPTH_MAX} levels"]
    try:
        value = json.loads(text, parse_int=_parse_int)
    except ValueError as error:
        raise NotJson(str(error)) from error
    return value, list(_flaws(value, ""))


def _parse_int(digits: str) -> int:
    # Converting a number takes time by the square of its length, and all that is to be known is that it is too long.
    return int(digits) if len(digits) <= _INT_DIGITS_MAX else INT_MAX + 1


def _too_deep(text: str) -> str | None:
    """The place of the first array or object beyond the depth, found without recursion."""
    stack: list[int | str] = []
    for match in _TOKEN.finditer(text):
        match match[0]:
            case "[" | "{" as opening:
                if len(stack) == DEPTH_MAX:
                    return _spell(stack)
                stack.append(0 if opening == "[" else "")
            case "]" | "}":
                del stack[-1:]
            case ":":
                pass
            case inner if stack:
                index = stack[-1]
                if not isinstance(index, int):
                    stack[-1] = inner.strip('"')
                elif inner == ",":
                    stack[-1] = index + 1
    return None


def _spell(path: Iterable[int | str]) -> str:
    name = ""
    for part in path:
        name = at(name, part)
    return name


def at(name: str, part: int | str) -> str:
    """The name of a member or element of what is called `name`, fit to be printed and not too long."""
    if isinstance(part, int):
        longer = f"{name}[{part}]"
    else:
        shown = part if part.isprintable() else ascii(part)[1:-1]
        longer = f"{name}.{shown}" if name else shown
    return longer if len(longer) <= NAME_LENGTH_MAX else longer[: NAME_LENGTH_MAX - 3] + "..."


def _flaws(value: Any, name: str) -> Iterator[str]:
    """What breaks the laws in a value and all within it. Recurses, so the depth must be known to be bounded."""
    match value:
        case str():
            yield from (f"{_quoted(name)} holds {what}" for what in _foreign(value))
        case int() if not INT_MIN <= value <= INT_MAX:
            yield f"{_quoted(name)} is an integer that does not fit in 64 bits"
        case float() if not isfinite(value):
            yield f"{_quoted(name)} is a number that is not finite or too large for 64 bits"
        case list():
            for index, inner in enumerate(value):
                yield from _flaws(inner, at(name, index))
        case dict():
            for key, inner in value.items():
                place = at(name, key)
                yield from (f"{_quoted(place)} has {what} in its name" for what in _foreign(key))
                yield from _flaws(inner, place)


def _foreign(text: str) -> Iterator[str]:
    if "\0" in text:
        yield "a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        yield "a lone surrogate, half of a character"


def _quoted(name: str) -> str:
    return f"'{name}'" if name else "the body"


def bounded(errors: list[str]) -> list[str]:
    """The first errors, and how many more there are."""
    if len(errors) <= ERRORS_MAX:
        return errors
    return [*errors[:ERRORS_MAX], f"and {len(errors) - ERRORS_MAX} more"]


# Rules ----------------------------------------------------------------------------------------------------------


class Rule(Protocol):
    """What a value must be. Never asked about one that is absent."""

    def check(self, value: Any, name: str, errors: list[str]) -> None:
        """Adds what is wrong with the value, which is called `name`."""


class Member(NamedTuple):
    """A member of an object that has a meaning."""

    name: str
    rule: Rule
    required: bool = False


def is_absent(value: Any) -> bool:
    """Whether a member counts as not given: missing, null, or blank. Clients send all three for `none`."""
    return value is None or (type(value) is str and not value.strip())


def check_members(value: dict[str, Any], members: Iterable[Member], name: str, errors: list[str]) -> None:
    """Checks the members of the object called `name`; others are let be."""
    for member in members:
        inner = value.get(member.name)
        if is_absent(inner):
            if member.required:
                errors.append(f"'{at(name, member.name)}' is missing or blank")
        else:
            member.rule.check(inner, at(name, member.name), errors)


def _expected(what: str, value: Any, name: str) -> str:
    return f"'{name}' must be {what}, not {_KINDS.get(type(value), 'a number')}"


class Text(NamedTuple):
    """A string; lengths are in characters."""

    length_max: int | None = None
    length: int | None = None

    def check(self, value: Any, name: str, errors: list[str]) -> None:
        """Adds what is wrong with the value."""
        if type(value) is not str:
            errors.append(_expected("a string", value, name))
        elif self.length is not None and len(value) != self.length:
            errors.append(f"Length of '{name}' is incorrect (should be {self.length} characters)")
        elif self.length_max is not None and len(value) > self.length_max:
            errors.append(f"'{name}' is too long (maximum is {self.length_max} characters, this has {len(value)})")


class Choice(NamedTuple):
    """One of some words."""

    words: tuple[str, ...]

    def check(self, value: Any, name: str, errors: list[str]) -> None:
        """Adds what is wrong with the value."""
        if type(value) is not str or value not in self.words:
            errors.append(f"'{name}' is invalid (must be one of the following: {', '.join(map(repr, self.words))})")


class Moment(NamedTuple):
    """An ISO 8601 date and time. Besides `Z` and an offset it may have both, as one widely used client writes it."""

    def check(self, value: Any, name: str, errors: list[str]) -> None:
        """Adds what is wrong with the value."""
        if type(value) is not str:
            errors.append(_expected("an ISO 8601 string", value, name))
            return
        try:
            datetime.fromisoformat(value[:-1] if value.endswith("Z") and "+" in value else value)
        except ValueError:
            errors.append(f"'{name}' is not an ISO 8601 date and time within the years 1 to 9999")


class Link(NamedTuple):
    """A URL of one of some schemes."""

    schemes: tuple[str, ...]

    def check(self, value: Any, name: str, errors: list[str]) -> None:
        """Adds what is wrong with the value."""
        if type(value) is not str:
            errors.append(_expected("a string", value, name))
        elif not value.lower().startswith(self.schemes):
            errors.append(f"'{name}' must start with {' or '.join(self.schemes)}")


class Kinds(NamedTuple):
    """Any value of some JSON types."""

    what: str
    types: tuple[type, ...]

    def check(self, value: Any, name: str, errors: list[str]) -> None:
        """Adds what is wrong with the value."""
        if type(value) not in self.types:
            errors.append(_expected(self.what, value, name))


class Object(NamedTuple):
    """An object with these members, and any others."""

    members: tuple[Member, ...]

    def check(self, value: Any, name: str, errors: list[str]) -> None:
        """Adds what is wrong with the value."""
        if type(value) is not dict:
            errors.append(_expected("an object", value, name))
        else:
            check_members(value, self.members, name, errors)


class Array(NamedTuple):
    """An array of values that follow one rule each; a null is none."""

    item: Rule

    def check(self, value: Any, name: str, errors: list[str]) -> None:
        """Adds what is wrong with the value."""
        if type(value) is not list:
            errors.append(_expected("an array", value, name))
            return
        for index, inner in enumerate(value):
            self.item.check(inner, at(name, index), errors)
