"""`tocsin entries`: what was recorded, entry by entry.

Entries hold what strangers sent, and people send passwords. What looks like a secret by its name, in fields and in
texts, and every token of Tocsin's own, is shown as `[redacted]`, in JSON too.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import typer

from tocsin.cli import output, reads
from tocsin.cli.reads import Reads

app = typer.Typer(no_args_is_help=True, help="Log entries: what was recorded, and when.")

LIMIT_MAX: Final = 10_000
REDACTED: Final = "[redacted]"
_NAMES: Final = r"passw|passphrase|secret|token|credential|authorization|cookie|(?:api|access|private|routing)[_-]?key"
_SECRET_NAME: Final = re.compile(_NAMES, re.IGNORECASE)
_IN_TEXT: Final = re.compile(rf"""(\b[\w-]*(?:{_NAMES})[\w-]*["']?\s*[:=]\s*)("[^"]*"|'[^']*'|\S+)""", re.IGNORECASE)
_TOKEN: Final = re.compile(r"tocsin_[0-9a-f]{16}_[0-9a-f]{64}")

Limit = Annotated[int, typer.Option(min=1, max=LIMIT_MAX, help="So many at most.")]


@app.callback()
def entries() -> None:
    """Log entries: what was recorded, and when."""


@app.command("ls")
@reads.reading
def list_entries(
    asks: Reads,
    *,
    incident: Annotated[str | None, typer.Argument(metavar="[INCIDENT]", help="Only those of this incident.")] = None,
    since: reads.Since = None,
    until: reads.Until = None,
    limit: Limit = 25,
    as_json: output.AsJson = False,
) -> None:
    """List the newest entries, of one incident or of all, newest last."""
    path = "/log_entries" if incident is None else f"/incidents/{reads.quoted(incident)}/log_entries"
    answer = reads.pages(asks, path, "log_entries", reads.range_of(since, until), limit)
    if reads.is_on_its_way(answer, as_json=as_json):
        raise typer.Exit(output.Status.UNKNOWN)
    found = redacted(answer.body["log_entries"])
    if as_json:
        output.show_json({"log_entries": found, "more": answer.body["more"], **reads.completeness(answer)})
        return
    output.note(_asked_words(incident, since, until, len(found), more=answer.body["more"]))
    show_entries(found[::-1], with_incident=incident is None)
    reads.tell_completeness(answer)


@app.command()
@reads.reading
def show(
    asks: Reads,
    *,
    id: Annotated[str, typer.Argument(metavar="ID", help="An entry's: 0x… with or without what follows the dot.")],
    as_json: output.AsJson = False,
) -> None:
    """Show one entry with all that was sent, secrets left out."""
    answer = asks.get(f"/log_entries/{reads.quoted(id)}")
    if reads.is_on_its_way(answer, as_json=as_json):
        raise typer.Exit(output.Status.UNKNOWN)
    entry = redacted(answer.body["log_entry"])
    if as_json:
        output.show_json({"log_entry": entry, **reads.completeness(answer)})
        return
    own = entry.get("tocsin") or {}
    fields = {
        "entry": entry["id"],
        "what": _what(entry),
        "received": reads.both(entry["created_at"]),
        "in region": own.get("region"),
        "by": _by(entry),
        "service": _summary(entry.get("service")),
        "incident": _incident(entry),
        "summary": entry.get("summary"),
        "note": entry.get("note"),
    }
    output.show_fields({name: value for name, value in fields.items() if value}, as_json=False)
    typer.echo("sent:")
    # As JSON every control character is spelt out but those that Unicode has beyond ASCII.
    body = json.dumps(own.get("event", {}), indent=2, ensure_ascii=False)
    typer.echo("\n".join(f"  {output.clean(line)}" for line in body.splitlines()))
    reads.tell_completeness(answer)


def show_entries(found: Sequence[Mapping[str, Any]], *, with_incident: bool) -> None:
    """Entries as a table, in the order given."""
    of_all = {"incident": _incident} if with_incident else {}
    output.show_table(
        found,
        {
            "received": lambda entry: output.utc(reads.unix_s(entry["created_at"])),
            "": lambda entry: reads.since(entry["created_at"]),
            "what": _what,
            "summary": _words,
            "by": _by,
            **of_all,
            "region": lambda entry: (entry.get("tocsin") or {}).get("region", ""),
            "entry": lambda entry: entry["id"],
        },
        empty="no entries",
    )


def redacted(value: Any) -> Any:
    """A JSON value without what looks like a secret."""
    if isinstance(value, dict):
        return {name: _redacted_member(name, one) for name, one in value.items()}
    if isinstance(value, list):
        return [redacted(one) for one in value]
    return _TOKEN.sub(REDACTED, _IN_TEXT.sub(rf"\1{REDACTED}", value)) if isinstance(value, str) else value


def _redacted_member(name: str, value: Any) -> Any:
    is_plain = isinstance(value, str | int | float) and not isinstance(value, bool)
    return REDACTED if is_plain and _SECRET_NAME.search(name) else redacted(value)


def _asked_words(
    incident: str | None, since: datetime | None, until: datetime | None, count: int, *, more: bool
) -> str:
    of = "of all incidents" if incident is None else f"of incident {incident}"
    which = f"the newest {count:,} {'entry' if count == 1 else 'entries'} {of}"
    words = f"{which}{reads.range_words(since, until)}, newest last"
    return output.clean(f"{words}; there are more: --limit shows them" if more else words)


def _what(entry: Mapping[str, Any]) -> str:
    return str(entry["type"]).removesuffix("_log_entry").replace("_", " ")


def _words(entry: Mapping[str, Any]) -> str:
    return ": ".join(str(one) for one in (entry.get("summary"), entry.get("note")) if one)


def _by(entry: Mapping[str, Any]) -> str:
    """Who: a person, or the service through which it came."""
    return _summary(entry.get("agent"))


def _summary(reference: Mapping[str, Any] | None) -> str:
    return str((reference or {}).get("summary") or (reference or {}).get("id") or "")


def _incident(entry: Mapping[str, Any]) -> str:
    return str((entry.get("incident") or {}).get("id") or "none")
