"""The description of an HTTP role in OpenAPI 3.1, generated from its routes; and JSON Schema from the core's own rules.

FastAPI writes what routes declare. Added here is what holds for all of them: that a token is needed and how refusals
look. Taken out is 422, which no role answers: what is wrong with a request is a 400.
"""

from collections.abc import Iterable, Mapping
from functools import singledispatch
from typing import Any, Final

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from tocsin import __version__
from tocsin.core.json_rules import Array, Choice, Kinds, Link, Member, Moment, Object, Rule, Text

PATH: Final = "/openapi.json"
REFUSALS: Final = {
    400: "The request makes no sense as it is.",
    401: "No valid token.",
    403: "The token is not good for this.",
    429: "Too many requests; `Retry-After` says how long to wait.",
    503: "The store or the log of this region does not answer; another region may.",
}
_KINDS: Final[Mapping[type, str]] = {dict: "object", list: "array", str: "string", int: "integer"}
_REFERENCE: Final = "#/components/schemas/{model}"


def describe(
    app: FastAPI, about: str, error: type[BaseModel], *, taken: Iterable[type[BaseModel]] = (), with_token: bool = True
) -> dict[str, Any]:
    """The description of an app. `error` is the body of its refusals, `taken` what request bodies refer to."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    app.version, app.description = __version__, about
    description = app.openapi()
    schemas = description.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    _, definitions = models_json_schema([(model, "validation") for model in (*taken, error)], ref_template=_REFERENCE)
    schemas.update(definitions.get("$defs", {}))
    refusal = {"schema": {"$ref": _REFERENCE.format(model=error.__name__)}}
    for operations in description["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            for status, meaning in REFUSALS.items():
                if with_token or status not in (401, 403):
                    said = {"description": meaning, "content": {"application/json": refusal}}
                    operation["responses"].setdefault(str(status), said)
    if with_token:
        description["components"]["securitySchemes"] = {
            "token": {
                "type": "apiKey",
                "in": "header",
                "name": "Authorization",
                "description": "`Token token=...`, or `Bearer ...`; `tocsin token create` makes one.",
            }
        }
        description["security"] = [{"token": []}]
    return description


def schema_of_members(members: Iterable[Member]) -> dict[str, Any]:
    """The schema of an object with these members, and any others; null and blank count as absent."""
    members = tuple(members)
    properties = {
        member.name: schema_of(member.rule) if member.required else {"anyOf": [schema_of(member.rule), _ABSENT]}
        for member in members
    }
    return {
        "type": "object",
        "properties": properties,
        "required": [member.name for member in members if member.required],
    }


_ABSENT: Final[dict[str, Any]] = {"type": "null"}


@singledispatch
def schema_of(rule: Rule) -> dict[str, Any]:
    """The schema of what a rule takes; an empty one, which takes anything, of a rule that is not known here."""
    del rule
    return {}


@schema_of.register
def _(rule: Text) -> dict[str, Any]:
    lengths = {"minLength": rule.length, "maxLength": rule.length or rule.length_max}
    return {"type": "string", **{name: length for name, length in lengths.items() if length is not None}}


@schema_of.register
def _(rule: Choice) -> dict[str, Any]:
    return {"type": "string", "enum": list(rule.words)}


@schema_of.register
def _(_rule: Moment) -> dict[str, Any]:
    return {"type": "string", "description": "An ISO 8601 date and time."}


@schema_of.register
def _(rule: Link) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^({'|'.join(rule.schemes)})"}


@schema_of.register
def _(rule: Kinds) -> dict[str, Any]:
    return {"type": [_KINDS[kind] for kind in rule.types]}


@schema_of.register
def _(rule: Object) -> dict[str, Any]:
    return schema_of_members(rule.members)


@schema_of.register
def _(rule: Array) -> dict[str, Any]:
    return {"type": "array", "items": schema_of(rule.item)}
