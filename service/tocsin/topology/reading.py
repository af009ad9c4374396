"""Reading one region file: every fault of it is named by file, field and, for a typo, the nearest name."""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from tocsin.config import ConfigError, Problem, load_yaml, nearest
from tocsin.topology.region import Region

OVERRIDE_PREFIX: Final = "TOCSIN_REGION__"
"""Variables of this prefix replace fields of region files: TOCSIN_REGION__LIMITS__GRACE_S is `limits.grace_s`."""
VALUE_SHOWN_MAX: Final = 80
"""A refused value is shown up to so many characters."""


def region_schema() -> dict[str, Any]:
    """The JSON schema of a region file (draft 2020-12)."""
    schema = Region.model_json_schema()
    for limit in schema["$defs"]["Limits"]["properties"].values():
        limit["exclusiveMinimum"] = 0
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "A region of Tocsin",
    }


def load_region(path: Path, overrides: Mapping[str, Any] | None = None) -> Region:
    """The region that a file describes, with fields replaced by `overrides` (nested as the file is).

    Raises ConfigError with all faults of the file, or of the overrides.
    """
    overrides = overrides or {}
    data = load_yaml(path)
    try:
        return Region.model_validate(_merged(data, overrides))
    except ValidationError as error:
        raise ConfigError(_problems(path, error, overrides)) from error


def _merged(data: Any, overrides: Any) -> Any:
    if not (isinstance(data, dict) and isinstance(overrides, Mapping)):
        return overrides
    return data | {name: _merged(data[name], value) if name in data else value for name, value in overrides.items()}


def _problems(path: Path, error: ValidationError, overrides: Mapping[str, Any]) -> Iterator[Problem]:
    for fault in error.errors(include_url=False):
        loc = tuple(part for part in fault["loc"] if not str(part).startswith("["))  # [key], or a tag of a union
        field = ".".join(map(str, loc))
        name = str(loc[-1]) if loc else ""
        match fault["type"]:
            case "extra_forbidden" | "unexpected_keyword_argument":
                what = f"no such field{nearest(name, _fields_at(loc[:-1]))}"
            case "missing":
                what = "is required and missing"
            case "union_tag_invalid":
                field, what = _unknown_alternative(field, fault)
            case "value_error":
                what = str(fault["ctx"]["error"])
            case _:
                expected = re.sub("^(Input|String) should", "should", fault["msg"]).replace("tuple", "list")
                what = f"{expected}, is {repr(fault['input'])[:VALUE_SHOWN_MAX]}"
        if _overridden(loc, overrides):
            yield Problem(OVERRIDE_PREFIX + "__".join(map(str, loc)).upper(), "", what)
        else:
            yield Problem(str(path), field, what)


def _unknown_alternative(field: str, fault: Any) -> tuple[str, str]:
    """Field and fault of a section whose `engine` or `by` names nothing that there is."""
    known = [tag.strip("'[]") for tag in fault["ctx"]["expected_tags"].split(", ")]
    name = "by" if field.rpartition(".")[2] == "login" else "engine"
    if not isinstance(fault["input"], Mapping):
        return (
            field,
            f"should be a section with {name} ({', '.join(known)}), is {repr(fault['input'])[:VALUE_SHOWN_MAX]}",
        )
    if name not in fault["input"]:
        return field, f"must say which {name}: {', '.join(known)}"
    value = str(fault["input"][name])
    return f"{field}.{name}", f"no {value[:VALUE_SHOWN_MAX]!r}{nearest(value, known)}; known: {', '.join(known)}"


def _overridden(loc: Sequence[int | str], overrides: Any) -> bool:
    """Whether the value at this place came from an override, not from the file."""
    for name in loc:
        if not isinstance(overrides, Mapping):
            return True
        if name not in overrides:
            return False
        overrides = overrides[name]
    return bool(loc)


def _fields_at(loc: Sequence[int | str]) -> set[str]:
    """The fields that the section at this place of a region file may have, whichever of its alternatives it is."""
    sections = [_schema()]
    for name in loc:
        sections = [section for schema in sections for section in _sections(_below(schema, name))]
    return {field for section in sections for field in section.get("properties", ())}


def _below(schema: Mapping[str, Any], name: int | str) -> Mapping[str, Any]:
    """What a schema says of one of its items or fields."""
    if isinstance(name, int):
        return dict(schema.get("items", {}))
    if "patternProperties" in schema:
        (schema,) = schema["patternProperties"].values()
        return schema
    return dict(schema.get("properties", {}).get(name, {}))


def _sections(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The alternatives of a schema, each in full."""
    if "$ref" in schema:
        return _sections(_schema()["$defs"][schema["$ref"].rpartition("/")[2]])
    alternatives = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return [section for one in alternatives for section in _sections(one)] or [dict(schema)]


@functools.cache
def _schema() -> dict[str, Any]:
    return region_schema()
