"""`tocsin incidents`: what is wrong now, what became of it, and a person's part in it.

To acknowledge or to resolve is a request like any other: it goes through a region's log, and what one reads changes
only once that is stored. So a command that acts says what is on its way, and waits until it is seen.
"""

import contextlib
import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from tocsin.cli import acting, output, reads
from tocsin.cli.entries import redacted, show_entries
from tocsin.cli.reads import Reads
from tocsin.cli.watching import EVERY_S_MAX, EVERY_S_MIN, FOLLOWED_MAX, SPREAD, Change, Watch

app = typer.Typer(no_args_is_help=True, help="Incidents: what is wrong now, and what became of it.")

LIMIT_MAX: Final = 10_000
ENTRIES_SHOWN: Final = 25
STYLES: Final = {"triggered": "red", "acknowledged": "yellow", "resolved": "dim"}


class Status(StrEnum):
    """Where an incident is."""

    TRIGGERED = "triggered"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


OPEN: Final = (Status.TRIGGERED, Status.ACKNOWLEDGED)


class Urgency(StrEnum):
    """How soon somebody must look."""

    HIGH = "high"
    LOW = "low"


Id = Annotated[str, typer.Argument(metavar="ID", help="An incident's, or any of its requests': 0x…")]
Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="Incidents, or any of their requests: 0x…")]
Statuses = Annotated[list[Status] | None, typer.Option("--status", help="Only these; again for more.")]
Services = Annotated[list[str] | None, typer.Option("--service", metavar="ID", help="Only these; again for more.")]
Urgencies = Annotated[list[Urgency] | None, typer.Option("--urgency", help="Only these.")]
Limit = Annotated[int, typer.Option(min=1, max=LIMIT_MAX, help="So many at most.")]


@app.callback()
def incidents() -> None:
    """Incidents: what is wrong now, and what became of it."""


# Looking -------------------------------------------------------------------------------------------------------------


@app.command("ls")
@reads.reading
def list_incidents(
    asks: Reads,
    *,
    status: Statuses = None,
    service: Services = None,
    urgency: Urgencies = None,
    since: reads.Since = None,
    until: reads.Until = None,
    limit: Limit = 25,
    all_: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    as_json: output.AsJson = False,
) -> None:
    """List the open incidents, newest first."""
    if all_ and status:
        raise typer.BadParameter("with --status it says two different things", param_hint="--all")
    statuses = [] if all_ else status or list(OPEN)
    asked = filters(statuses, service, urgency) | reads.range_of(since, until)
    answer = reads.pages(asks, "/incidents", "incidents", asked, limit)
    found = answer.body["incidents"]
    if as_json:
        output.show_json({"incidents": found, "more": answer.body["more"], **reads.completeness(answer)})
        return
    what = asked_words(statuses, service, urgency) + reads.range_words(since, until)
    hint = "; --all shows resolved ones too" if not all_ and not status else ""
    more = "; there are more: --limit shows them" if answer.body["more"] else ""
    output.note(output.clean(f"{what}, newest first{hint}{more}"))
    output.show_table(
        found,
        {
            "number": number,
            "status": lambda one: one["status"],
            "urgency": lambda one: one["urgency"],
            "service": lambda one: one["service"]["summary"],
            "title": lambda one: one["title"],
            "opened": lambda one: reads.since(one["created_at"]),
            "last change": lambda one: reads.since(one["last_status_change_at"]),
            "id": lambda one: one["id"],
        },
        empty="none",
        style=lambda one: STYLES.get(one["status"], ""),
    )
    reads.tell_completeness(answer)


def filters(
    statuses: list[Status], services: list[str] | None, urgencies: list[Urgency] | None
) -> dict[str, list[str]]:
    """The parameters of a list of incidents."""
    given = {
        "statuses[]": [str(one) for one in statuses],
        "service_ids[]": list(services or ()),
        "urgencies[]": [str(one) for one in urgencies or ()],
    }
    return {name: values for name, values in given.items() if values}


def asked_words(statuses: list[Status], services: list[str] | None, urgencies: list[Urgency] | None) -> str:
    """What is listed, in words."""
    if not statuses:
        which = "all incidents"
    elif tuple(statuses) == OPEN:
        which = "open incidents (triggered, acknowledged)"
    else:
        which = f"incidents that are {' or '.join(statuses)}"
    words = [which]
    words += [f"of service {' or '.join(services)}"] if services else []
    words += [f"of {' or '.join(urgencies)} urgency"] if urgencies else []
    return " ".join(words)


def number(incident: Mapping[str, Any]) -> str:
    """An incident's number, as people say it."""
    return "" if incident.get("incident_number") is None else f"#{incident['incident_number']}"


@app.command()
@reads.reading
def show(
    asks: Reads,
    *,
    id: Id,
    limit: Annotated[int, typer.Option(min=1, max=LIMIT_MAX, help="So many of its newest entries.")] = ENTRIES_SHOWN,
    as_json: output.AsJson = False,
) -> None:
    """Show an incident and its newest entries, newest last."""
    answer = asks.get(f"/incidents/{reads.quoted(id)}")
    if reads.is_on_its_way(answer, as_json=as_json):
        raise typer.Exit(output.Status.UNKNOWN)
    incident = answer.body["incident"]
    # By its own id: the given one may be that of any of its requests.
    log = reads.pages(asks, f"/incidents/{incident['id']}/log_entries", "log_entries", {}, limit)
    found, more = redacted(log.body["log_entries"]), log.body["more"]
    whole = reads.less_complete(answer, log)
    if as_json:
        output.show_json({"incident": incident, "log_entries": found, "more": more, **reads.completeness(whole)})
        return
    output.show_fields(_fields(incident, _links(found)), as_json=False)
    typer.echo("")
    if more:
        output.note(f"the newest {len(found):,} entries; there are more: --limit shows them")
    show_entries(found[::-1], with_incident=False)
    reads.tell_completeness(whole)


def _fields(incident: Mapping[str, Any], links: list[str]) -> dict[str, Any]:
    own = incident.get("tocsin") or {}
    resolved = incident.get("resolved_at")
    fields = {
        "incident": " ".join(filter(None, (number(incident), incident["id"]))),
        "title": incident["title"],
        "status": incident["status"],
        "urgency": incident["urgency"],
        "severity": own.get("severity"),
        "service": incident["service"]["summary"],
        "source": own.get("source"),
        "dedup key": incident["incident_key"],
        "opened": reads.both(incident["created_at"]),
        "last change": reads.both(incident["last_status_change_at"]),
        "resolved": reads.both(resolved) if resolved else None,
        "triggers": own.get("triggers"),
        "request": own.get("request"),
        "links": "  ".join(links),
    }
    return {name: value for name, value in fields.items() if value}


def _links(entries: list[Any]) -> list[str]:
    """What the entries point at, each once."""
    contexts = [context for entry in entries for context in entry.get("contexts") or ()]
    return list(dict.fromkeys(str(one["href"]) for one in contexts if one.get("type") == "link" and one.get("href")))


# Following -----------------------------------------------------------------------------------------------------------


@app.command()
@reads.reading
def watch(
    asks: Reads,
    *,
    service: Services = None,
    urgency: Urgencies = None,
    as_json: output.AsJson = False,
) -> None:
    """Follow the open incidents until Ctrl-C: those that are open now, then a line a change."""
    output.note(f"{output.clean(asked_words(list(OPEN), service, urgency))}; then what changes, until Ctrl-C")
    following = _Following(asks, filters(list(OPEN), service, urgency), as_json=as_json)
    try:
        while True:
            time.sleep(following.look())
    except KeyboardInterrupt:
        output.note(f"stopped; {output.counted(following.told, 'line')} shown")


class _Following:
    """One look after another; outlives a time in which no region answers."""

    def __init__(self, asks: Reads, asked: Mapping[str, Any], *, as_json: bool) -> None:
        self._asks = asks
        self._asked = {**asked, "date_range": "all"}
        self._as_json = as_json
        self._watch = Watch()
        self._gone: list[str] = []
        self._away_s = 0.0
        self.told = 0

    def look(self) -> float:
        """Looks once, and tells what changed; returns after how many seconds to look again."""
        from tocsin.client.reader import NoAnswer

        try:
            answer = reads.pages(self._asks, "/incidents", "incidents", self._asked, FOLLOWED_MAX)
        except NoAnswer as error:
            if not self._away_s:
                output.note(output.clean(f"{error}; looking on"))
            self._away_s = min(max(EVERY_S_MIN, self._away_s * SPREAD), EVERY_S_MAX)
            return self._away_s
        if self._away_s:
            output.note(output.clean(f"region {answer.region} answers again"))
            self._away_s = 0.0
        changes, gone = self._watch.look(answer.body["incidents"])
        for change in changes:
            self._tell(change)
        self._gone += gone
        with contextlib.suppress(NoAnswer):  # those that were not asked for yet stay for the next look
            while self._gone:
                self._tell_end(self._gone[0])
                self._gone.pop(0)
        return self._watch.every_s

    def _tell_end(self, id: str) -> None:
        """Tells what became of one that is not among the open ones any more."""
        from tocsin.client.reader import NotFound

        with contextlib.suppress(NotFound):  # a person dropped what opened it
            incident = self._asks.get(f"/incidents/{id}").body.get("incident")
            # An open one only fell out of the newest so many, or this region is behind the one asked before.
            if incident and incident["status"] not in OPEN:
                self._tell(Change(incident["status"], incident))

    def _tell(self, change: Change) -> None:
        one = change.incident
        self.told += 1
        if self._as_json:
            output.show_line({"change": change.what, "incident": one})
            return
        at = output.utc(reads.unix_s(one["updated_at"]))
        words = at, f"{change.what:<15}", f"{one['urgency']:<4}", number(one), one["service"]["summary"], one["title"]
        typer.echo(output.clean("  ".join([*filter(None, words), one["id"]])))


# Acting --------------------------------------------------------------------------------------------------------------

Note = Annotated[str | None, typer.Option("--note", help="A note for whoever reads the incident later.")]
From = Annotated[
    str | None, typer.Option("--from", metavar="EMAIL", help="Who does it; left out, you at this machine.")
]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is seen, at most 30 s.")]


@app.command("ack")
@reads.reading
def acknowledge(
    asks: Reads,
    *,
    ids: Ids,
    note: Note = None,
    email: From = None,
    yes: output.Yes = False,
    wait: Wait = True,
    as_json: output.AsJson = False,
) -> None:
    """Acknowledge incidents: somebody is at it. Needs a token of scope write."""
    _act(asks, ids, acting.ACKNOWLEDGE, note, email, yes=yes, wait=wait, as_json=as_json)


@app.command()
@reads.reading
def resolve(
    asks: Reads,
    *,
    ids: Ids,
    note: Note = None,
    email: From = None,
    yes: output.Yes = False,
    wait: Wait = True,
    as_json: output.AsJson = False,
) -> None:
    """Resolve incidents: it is over. Needs a token of scope write."""
    _act(asks, ids, acting.RESOLVE, note, email, yes=yes, wait=wait, as_json=as_json)


def _act(
    asks: Reads,
    ids: list[str],
    deed: acting.Deed,
    note: str | None,
    email: str | None,
    *,
    yes: bool,
    wait: bool,
    as_json: bool,
) -> None:
    email = email or acting.person()
    found = acting.look_up(asks, ids, deed, as_json=as_json)
    if found:
        acting.confirm(found, deed, email, yes=yes)
        acting.request(asks, found, deed, note, email)
        if wait:
            acting.wait(asks, found, deed)
    acting.tell(found, waited=wait, as_json=as_json)
