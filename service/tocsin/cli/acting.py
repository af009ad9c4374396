"""Acting on incidents: look, ask, request, and wait until it is seen.

What a person does is a request in the log, like an event. A region answers as soon as its log has it; what reads show
changes once it is stored, and it could be refused or set aside before. So nothing is called done here that was not seen
in a read.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import typer

from tocsin.cli import output, reads
from tocsin.cli.reads import Reads

SEEN_S_MAX: Final = 30.0
LOOK_EVERY_S: Final = 0.25
"""For each incident that is waited for: a token may ask 960 times a minute."""
TITLE_SHOWN: Final = 60


class Deed(NamedTuple):
    """What a person can do to an incident. `needless_in`: the statuses in which it changes nothing."""

    word: str
    status: str
    needless_in: frozenset[str]
    means: str
    undo: str


ACKNOWLEDGE: Final = Deed(
    "acknowledge",
    "acknowledged",
    frozenset({"acknowledged", "resolved"}),
    "somebody is at it, and further triggers of it stay silent",
    "it cannot be taken back; resolve it, and the next trigger opens a new incident",
)
RESOLVE: Final = Deed(
    "resolve",
    "resolved",
    frozenset({"resolved"}),
    "it is over; the next trigger of its dedup key opens a new incident",
    "it cannot be taken back; tocsin send trigger --dedup-key KEY opens a new incident",
)


@dataclass(slots=True)
class Asked:
    """An incident, and what became of what was asked of it."""

    incident: Mapping[str, Any]
    pending: list[str] = field(default_factory=list)
    """The printed keys of the requests."""
    status: str = ""
    """As it was seen last."""
    is_seen: bool = False
    errors: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        """The incident's id."""
        return str(self.incident["id"])

    @property
    def row(self) -> dict[str, Any]:
        """For output."""
        return {
            "id": self.id,
            "title": self.incident["title"],
            "status": self.status,
            "seen": self.is_seen,
            "requests": self.pending,
            "errors": self.errors,
        }


def person() -> str:
    """An address for whoever runs this command, when they give none."""
    from tocsin.cli.sight import speaker

    return speaker("").by


def look_up(asks: Reads, ids: Sequence[str], deed: Deed, *, as_json: bool) -> list[Asked]:
    """The incidents on which the deed has an effect, each once; says of the others why not.

    Ends the command for one that may still be on its way.
    """
    found: dict[str, Asked] = {}
    for id in ids:
        answer = asks.get(f"/incidents/{reads.quoted(id)}")
        if reads.is_on_its_way(answer, as_json=as_json):
            output.note("nothing was done; try again in a moment")
            raise typer.Exit(output.Status.UNKNOWN)
        incident = answer.body["incident"]
        if incident["status"] in deed.needless_in:
            output.note(f"nothing to do for {_name(incident)}: it is {incident['status']} already")
        else:
            found[incident["id"]] = Asked(incident, status=incident["status"])
    return list(found.values())


def confirm(found: Sequence[Asked], deed: Deed, email: str, *, yes: bool) -> None:
    """Shows what will be done to which, and asks."""
    which = "".join(f"\n  {_name(one.incident)}" for one in found)
    output.note(f"incidents:{which}")
    what = f"{deed.word} {output.counted(len(found), 'incident')} as {email}: {deed.means}"
    output.confirm(what, undo=deed.undo, yes=yes)


def request(asks: Reads, found: Sequence[Asked], deed: Deed, note: str | None, email: str) -> None:
    """Asks for the deed, one incident after the other. What a region refuses of one does not keep the others from it.

    Raises `NoAnswer`, which then says what was asked already.
    """
    from tocsin.client.reader import NoAnswer, Rejected

    for index, one in enumerate(found):
        try:
            change = {"type": "incident_reference", "status": deed.status} | ({"note": note} if note else {})
            answer = asks.put(f"/incidents/{one.id}", {"incident": change}, {"From": email})
            one.pending += (answer.body["incident"].get("tocsin") or {}).get("pending", [])
        except Rejected as error:
            if error.status in reads.HINTS:
                raise
            one.errors += error.errors
        except NoAnswer as error:
            before = ", ".join(one.id for one in found[:index])
            error.add_note(f"asked for before: {before or 'none'}; {one.id} may be recorded: asking again is safe")
            raise


def wait(asks: Reads, found: Sequence[Asked], deed: Deed) -> None:
    """Returns once all is seen, or known not to come, or the wait is too long."""
    from tocsin.client.reader import NoAnswer, NotFound

    deadline = time.monotonic() + SEEN_S_MAX
    waiting = [one for one in found if not one.errors]
    with output.told_when_slow(f"on its way; waiting until it is seen, at most {SEEN_S_MAX:.0f} s"):
        while waiting and time.monotonic() < deadline:
            for one in waiting:
                try:
                    _look(asks, one, deed)
                except (NoAnswer, NotFound):  # by the end of the wait it is not seen, whatever the reason
                    continue
            waiting = [one for one in waiting if not one.is_seen and not one.errors]
            if waiting:
                time.sleep(LOOK_EVERY_S * len(waiting))


def _look(asks: Reads, one: Asked, deed: Deed) -> None:
    answer = asks.get(f"/incidents/{one.id}")
    one.status = answer.body.get("incident", {}).get("status", one.status)
    one.is_seen = one.status in deed.needless_in
    if not one.is_seen and (stuck := set(one.pending) & set(answer.set_aside)):
        one.errors += [f"{key} could not be stored and is kept aside: tocsin ledger explain {key}" for key in stuck]


def tell(found: Sequence[Asked], *, waited: bool, as_json: bool) -> None:
    """Shows what became of it, and ends the command with a status that says whether all is well."""
    if as_json:
        output.show_json([one.row for one in found])
    else:
        output.show_table(
            [one.row for one in found],
            {
                "incident": lambda row: row["id"],
                "status": lambda row: row["status"],
                "": _word,
                "title": lambda row: row["title"],
                "request": lambda row: ", ".join(row["requests"]),
            },
            empty="nothing was done",
        )
    for one in found:
        for error in one.errors:
            output.note(output.clean(f"{one.id}: {error}"))
    if any(one.errors for one in found):
        raise typer.Exit(output.Status.DEVIATED)
    unseen = [one.id for one in found if not one.is_seen]
    if waited and unseen:
        output.note(
            f"accepted, but not seen within {SEEN_S_MAX:.0f} s; `tocsin progress` shows what is behind. Look "
            f"again: tocsin incidents show {unseen[0]}"
        )
        raise typer.Exit(output.Status.UNKNOWN)


def _word(row: output.Row) -> str:
    if row["errors"]:
        return "refused or set aside"
    return "seen" if row["seen"] else "on its way"


def _name(incident: Mapping[str, Any]) -> str:
    title = str(incident["title"])
    shown = title if len(title) <= TITLE_SHOWN else f"{title[:TITLE_SHOWN]}..."
    return output.clean(f"{incident['id']} ({shown}; {incident['service']['summary']}, {incident['status']})")
