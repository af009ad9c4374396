"""`tocsin send`: an event by hand, or a file of them, by the producer client that applications use too.

An event that no region took is never passed over in silence: the command says so with status 3, and where the event
waits when there is a spool. Sending it again is safe: its id was minted here, before it was first sent.
"""

import json
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tocsin.cli import output
from tocsin.cli.access import Asked, CaFile, Sending, UpFile, Url, sending
from tocsin.client.limits import Limits
from tocsin.config import ConfigError, Problem

if TYPE_CHECKING:
    from tocsin.client import Producer, Receipt

app = typer.Typer()

LINE_BYTES_MAX: Final = 1_048_576
"""Of a line of a file: well above what intake takes, so that it is told as too large and not as cut."""
DETAILS_BYTES_MAX: Final = 1_048_576
LIMITS: Final = Limits()
FLUSH_S_MAX: Final = 10.0
SAY_EVERY_S: Final = 5.0
STDIN: Final = "-"


class Action(StrEnum):
    """What an event says."""

    TRIGGER = "trigger"
    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"


class Severity(StrEnum):
    """How bad it is; the first two are of high urgency."""

    CRITICAL = "critical"
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


File = Annotated[str | None, typer.Option("--file", metavar="FILE", help="One event a line, as JSON; - is stdin.")]
Spool = Annotated[
    Path | None, typer.Option("--spool", metavar="DIR", help="Where events wait that no region takes, until the next.")
]
Key = Annotated[str | None, typer.Option("--routing-key", metavar="KEY", help="The service; better as a variable.")]
Details = Annotated[str | None, typer.Option("--details", metavar="JSON|@FILE", help="Custom details.")]
Links = Annotated[list[str] | None, typer.Option("--link", metavar="URL", help="A runbook, a graph; again for more.")]
DedupKey = Annotated[
    str | None, typer.Option("--dedup-key", help="What it is about; events of one key belong together.")
]


@app.command()
def send(  # noqa: PLR0917 (one argument an option)
    action: Annotated[Action | None, typer.Argument(help="Left out with --file, or to empty --spool.")] = None,
    summary: Annotated[str | None, typer.Option(help="What is wrong; the incident's title.")] = None,
    source: Annotated[str | None, typer.Option(help="Where it is wrong; left out, this machine's name.")] = None,
    severity: Annotated[Severity | None, typer.Option(help="Left out: error.")] = None,
    dedup_key: DedupKey = None,
    details: Details = None,
    link: Links = None,
    component: Annotated[str | None, typer.Option(help="The part that is wrong.")] = None,
    client: Annotated[str | None, typer.Option(help="What sends it; left out: tocsin send.")] = None,
    file: File = None,
    spool: Spool = None,
    routing_key: Key = None,
    url: Url = None,
    ca_file: CaFile = None,
    up_file: UpFile = None,
    as_json: output.AsJson = False,
) -> None:
    """Send an event to the first region that takes it: trigger, acknowledge or resolve.

    Without --url and --routing-key it goes where `tocsin up` says. Status 1: refused, for what it is. Status 3: no
    region took it; with --spool it waits there, and the next `tocsin send --spool DIR` sends it first.
    """
    given = {
        "summary": summary, "source": source, "severity": severity, "details": details, "link": link,
        "component": component, "client": client,
    }  # fmt: skip
    _check_usage(action, dedup_key, given, file, spool)
    event = None if action is None else _event(action, dedup_key, given)
    to = sending(Asked(url, ca_file, up_file=up_file), routing_key)
    with _producer(to, spool) as producer:
        _send_waiting(producer, spool)
        if event is not None:
            _send_one(producer, event, to, spool, as_json=as_json)
        elif file is not None:
            _send_file(producer, file, to, spool, as_json=as_json)


# What to send --------------------------------------------------------------------------------------------------------


def _check_usage(
    action: Action | None, dedup_key: str | None, given: Mapping[str, Any], file: str | None, spool: Path | None
) -> None:
    if action is None and file is None and spool is None:
        raise typer.BadParameter("say what to send: trigger, acknowledge or resolve, or a --file", param_hint="ACTION")
    if action is not None and file is not None:
        raise typer.BadParameter("each line of the file says what it is; leave the action out", param_hint="--file")
    if action is Action.TRIGGER and not given["summary"]:
        raise typer.BadParameter("a trigger needs one: say what is wrong", param_hint="--summary")
    if action in {Action.ACKNOWLEDGE, Action.RESOLVE} and not dedup_key:
        raise typer.BadParameter(f"{action} needs one: that of the trigger", param_hint="--dedup-key")
    unused = [f"--{name}" for name, value in given.items() if value]
    unused += ["--dedup-key"] if action is None and dedup_key else []
    if action is not Action.TRIGGER and unused:
        raise typer.BadParameter(f"only a trigger has {', '.join(unused)}")


def _event(action: Action, dedup_key: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    event: dict[str, Any] = {"event_action": action.value}
    if dedup_key is not None:
        event["dedup_key"] = dedup_key
    if action is Action.TRIGGER:
        payload = {
            "summary": given["summary"],
            "source": given["source"] or socket.gethostname(),
            "severity": (given["severity"] or Severity.ERROR).value,
            "component": given["component"],
            "custom_details": None if given["details"] is None else _details(given["details"]),
        }
        event["payload"] = {name: value for name, value in payload.items() if value is not None}
        event["client"] = given["client"] or "tocsin send"
        if given["link"]:
            event["links"] = [{"href": href} for href in given["link"]]
    return event


def _details(text: str) -> Any:
    try:
        if text.startswith("@"):
            with Path(text[1:]).open("rb") as file:
                text = file.read(DETAILS_BYTES_MAX).decode()
        return json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        what = f"expected JSON, or @ and a file that holds it: {error}"
        raise typer.BadParameter(output.clean(what), param_hint="--details") from error


# Sending it ----------------------------------------------------------------------------------------------------------


@contextmanager
def _producer(to: Sending, spool: Path | None) -> "Iterator[Producer]":
    from tocsin.client import Producer

    try:
        producer = Producer(list(to.names), to.routing_key, spool, ca_file=to.ca_file, background=False, limits=LIMITS)
    except (ValueError, OSError) as error:
        where = "--url" if isinstance(error, ValueError) else "--spool or --ca-file"
        raise ConfigError([Problem(where, "", str(error))]) from error
    with producer:
        yield producer


def _send_waiting(producer: "Producer", spool: Path | None) -> None:
    """What an earlier command left in the spool goes first."""
    before = producer.waiting
    if not before:
        return
    with output.told_when_slow(f"sending {output.counted(before, 'event')} that wait in {spool}"):
        left = producer.flush(FLUSH_S_MAX)
    sent = f"{output.counted(before - left, 'event')} that waited in {spool} went out"
    output.note(f"{sent}; {left:,} wait on: no region takes them" if left else sent)


def _send_one(
    producer: "Producer", event: Mapping[str, Any], to: Sending, spool: Path | None, *, as_json: bool
) -> None:
    from tocsin.client import Refused

    try:
        with output.told_when_slow("no region has taken it yet; still trying"):
            receipt = producer.send(event)
    except Refused as error:
        if any("routing key" in one for one in error.errors):
            error.add_note("it came from --routing-key, else TOCSIN_ROUTING_KEY, else what `tocsin up` published")
        raise
    fields = _fields(receipt, to)
    if as_json:
        output.show_json(fields)
    else:
        output.show_fields(_words(fields), as_json=False)
    if not receipt.delivered:
        output.note(_waits(spool, 1))
        raise typer.Exit(output.Status.UNKNOWN)
    output.note(f"look at it: tocsin incidents show {receipt.request}")


def _fields(receipt: "Receipt", to: Sending) -> dict[str, Any]:
    return asdict(receipt) | {"region": to.names.get(receipt.region_url or "")}


def _words(fields: Mapping[str, Any]) -> dict[str, Any]:
    if not fields["delivered"]:
        return {"id": fields["id"], "dedup key": fields["dedup_key"], "taken by": "no region yet"}
    where = fields["region"] or fields["region_url"]
    has_it = ", and the logs of all regions have it" if fields["ack"] == "all-regions" else ", and its log has it"
    return {"request": fields["request"], "dedup key": fields["dedup_key"], "taken by": f"region {where}{has_it}"}


def _waits(spool: Path | None, count: int) -> str:
    return f"no region took {output.counted(count, 'event')}; kept in {spool}: tocsin send --spool {spool} tries again"


# A file of them ------------------------------------------------------------------------------------------------------


def _send_file(producer: "Producer", name: str, to: Sending, spool: Path | None, *, as_json: bool) -> None:
    """Sends a file's events in its order. What is refused is told and passed over; what no region takes ends it."""
    from tocsin.client import NotDelivered

    counts = {"sent": 0, "waiting": 0, "refused": 0}
    number = 0
    told_s = began_s = time.monotonic()
    for number, line in _lines(name):
        try:
            result = _send_line(producer, line, to)
        except NotDelivered as error:
            error.add_note(f"{_counted(counts)}; nothing from line {number} on was sent, so go on there")
            raise
        counts["refused" if "errors" in result else "sent" if result["delivered"] else "waiting"] += 1
        if as_json:
            output.show_line({"line": number, **result})
        elif "errors" in result:
            output.note(output.clean(f"line {number} is refused: {'; '.join(result['errors'])}"))
        if time.monotonic() - max(told_s, began_s + output.QUIET_S - SAY_EVERY_S) > SAY_EVERY_S:
            told_s = time.monotonic()
            output.note(f"at line {number:,}: {_counted(counts)}")
    if not as_json:
        typer.echo(f"{output.counted(number, 'line')} read: {_counted(counts)}")
    if counts["waiting"]:
        output.note(_waits(spool, counts["waiting"]))
        raise typer.Exit(output.Status.UNKNOWN)
    if counts["refused"]:
        raise typer.Exit(output.Status.DEVIATED)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in counts.items())


def _send_line(producer: "Producer", line: bytes, to: Sending) -> dict[str, Any]:
    """What became of a line: the fields of a receipt, or the `errors` for which it is refused."""
    from tocsin.client import Refused

    if len(line) > LINE_BYTES_MAX:
        return {"errors": [f"the line is longer than {LINE_BYTES_MAX:,} bytes"]}
    try:
        event = json.loads(line)
    except (ValueError, RecursionError) as error:
        return {"errors": [f"it is no JSON: {error}"]}
    if not isinstance(event, dict):
        return {"errors": ["it is no JSON object"]}
    if event.get("routing_key") not in {None, "", to.routing_key}:
        return {"errors": ["its routing key is that of another service; send each service's events by themselves"]}
    try:
        return _fields(producer.send(event), to)
    except Refused as error:
        return {"errors": error.errors}
    except (ValueError, TypeError) as error:  # NaN, or a number too large to be written out
        return {"errors": [str(error)]}


def _lines(name: str) -> Iterator[tuple[int, bytes]]:
    """The lines that hold something, with their numbers; of one that is too long, so much that it can be told."""
    try:
        with sys.stdin.buffer if name == STDIN else Path(name).open("rb") as file:
            number = 0
            while line := file.readline(LINE_BYTES_MAX + 1):
                number += 1
                rest = line
                while len(rest) > LINE_BYTES_MAX and not rest.endswith(b"\n"):
                    rest = file.readline(LINE_BYTES_MAX + 1)
                if line.strip():
                    yield number, line
    except OSError as error:
        raise ConfigError([Problem(name, "", f"cannot be read: {error.strerror}")]) from error
