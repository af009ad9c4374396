"""Tolerances: what a probe's value must be, in Chaos Toolkit's forms.

    tolerance: true                            equal to it (any scalar)
    tolerance: [200, 202]                      one of these
    tolerance: {type: range, range: [0, 5]}    a number between, both ends included
    tolerance: {type: regex, pattern: "^a"}    a text in which it is found

A probe that found no value (None: nothing came in time) is never within a tolerance, and a number never equals a
boolean, as Python would have it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

Scalar = bool | int | float | str


def within(tolerance: Any, value: Any) -> bool:
    """Whether a probe's value is as it must be; the tolerance is one that `fault_of` finds no fault with."""
    if value is None:
        return False
    match tolerance:
        case {"type": "range", "range": [low, high]}:
            return _is_number(value) and low <= value <= high
        case {"type": "regex", "pattern": pattern}:
            return isinstance(value, str) and re.search(pattern, value) is not None
        case list():
            return any(_same(one, value) for one in tolerance)
    return _same(tolerance, value)


def fault_of(tolerance: Any) -> str:
    """What is wrong with a tolerance, in words; empty when nothing is."""
    if isinstance(tolerance, Scalar):
        return ""
    if isinstance(tolerance, Mapping):
        return _fault_of_form(tolerance)
    if isinstance(tolerance, Sequence) and tolerance and all(isinstance(one, Scalar) for one in tolerance):
        return ""
    return "expected a value, a list of values, {type: range, range: [low, high]} or {type: regex, pattern: text}"


def describe(tolerance: Any) -> str:
    """A tolerance as people read it."""
    match tolerance:
        case {"type": "range", "range": [low, high]}:
            return f"{told(low)} to {told(high)}"
        case {"type": "regex", "pattern": pattern}:
            return f"like {pattern}"
        case list():
            return " or ".join(map(told, tolerance))
    return told(tolerance)


def told(value: Any) -> str:
    """A probe's value as people read it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return f"{value:,}"
    return str(value)


def _fault_of_form(form: Mapping[str, Any]) -> str:
    match dict(form):
        case {"type": "range", "range": [low, high], **rest} if not rest:
            ordered = _is_number(low) and _is_number(high) and low <= high
            return "" if ordered else f"a range is [low, high] with two numbers in order, not [{low}, {high}]"
        case {"type": "regex", "pattern": str(pattern), **rest} if not rest:
            try:
                re.compile(pattern)
            except re.error as error:
                return f"the pattern {pattern!r} is no regular expression: {error}"
            return ""
    return "expected {type: range, range: [low, high]} or {type: regex, pattern: text}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) is isinstance(other, bool)
