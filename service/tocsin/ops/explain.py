"""Explain: why is this request where it is? In words, for somebody who is tired.

First the facts, as data (`facts`, what --json shows), then the same as sentences (`in_words`). What a replica decided
is not decided here again: each kept row carries its decisions with the row of the table that gave them, and the table
says why that row exists.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

from tocsin.core.book import Book
from tocsin.core.cases import BUDGET_ROW
from tocsin.core.failures import Failure
from tocsin.core.ids import NOBODY, format_id, id_seconds
from tocsin.core.kept import Decision, Kept, Stage
from tocsin.core.requests import Request
from tocsin.core.statements import PersonWord, Said
from tocsin.core.verdict import TABLE
from tocsin.ops.locate import Located
from tocsin.topology import Topology

When = Callable[[int], str]
"""A Unix time in microseconds as a person reads it."""

WHY: Final = {row.name: row.why for row in TABLE} | {
    BUDGET_ROW: "requests of more services than the budget allows would be skipped: that looks like a fault of ours",
}
REDRIVEN: Final = "a person said redrive: tried again at once, and decided anew"

NEXT: Final = {
    "HALT": "{region} tries it again every few seconds, for ever; until it is stored there or the proof is gone, this "
    "partition takes nothing new in {region}, and its queries go to a peer",
    BUDGET_ROW: "{region} halts until a person releases the budget",
    "RETRY": "{region} tries it again at once and for ever; past the grace it is decided anew",
    "WAIT": "{region} waits for the peers' answers, until the deadline; then it is set aside",
    Stage.HELD: "{region} has not decided yet: it tries again, and says so in the ledger",
    Stage.ASIDE: "{region} goes on without it, tries it again in the background, and decides anew at every news",
    Stage.QUARANTINED: "{region} goes on without it; a `stored` from any region, or a redrive, opens it again",
    Stage.DROPPED: "{region} leaves it out of reads; its payload stays, and a redrive opens it again",
}
"""What happens next, by the last verdict, its row, or the stage."""


def facts(located: Located, topology: Topology, *, now_us: int, away: Collection[str] = ()) -> dict[str, Any]:
    """Everything that explains where a request is, as JSON knows it. Times are Unix microseconds.

    `away` are the regions whose store could not be read.
    """
    names = topology.names
    return {
        "key": located.key.printed,
        "partition": located.partition,
        "request": _request(located),
        "person": _person(located),
        "words": {name: _words(located, name) for name in names},
        "regions": {name: _standing(located.book, topology, name, now_us) for name in names},
        "where": {name: "its store could not be read" if name in away else located.where(name) for name in names},
        "kept": {name: kept_facts(kept) for name, kept in sorted(located.kept.items())},
        "next": list(_next(located)),
        "commands": list(_commands(located)),
    }


def _request(located: Located) -> dict[str, Any]:
    key, content = located.key, located.content
    fields: dict[str, Any] = {
        "service": key.parent.service,
        "dedup_key": key.parent.dedup_key,
        "id": format_id(key.id),
        "minted_us": id_seconds(key.id) * 1_000_000 if key.id else None,
        "received_us": None,
        "received_in": None,
        "action": None,
        "unreadable": None,
    }
    if isinstance(content, Request):
        fields |= {"received_us": content.received_us, "received_in": content.region, "action": _action(content.body)}
    elif isinstance(content, Failure):
        fields["unreadable"] = content.reason
    return fields


def _action(body: bytes) -> str | None:
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        return None
    action = event.get("event_action") if isinstance(event, dict) else None
    return action if isinstance(action, str) else None


def _person(located: Located) -> dict[str, Any] | None:
    order = located.book.orders.get(located.key)
    if order is None:
        return None
    return {"word": order.word, "number": order.number, "by": order.by, "at_us": order.at_us, "why": order.why}


def _words(located: Located, region: str) -> list[dict[str, Any]]:
    """Each stack's latest word, with whether it is what counts as the region's."""
    book, key = located.book, located.key
    said = [word for replica, word in book.words.get(key, {}).items() if replica.region == region]
    counting = book.region_word(key, region)
    return [word_facts(word, counts=word == counting) for word in sorted(said, key=lambda word: word.replica)]


def word_facts(said: Said, *, counts: bool) -> dict[str, Any]:
    """A replica's word as JSON knows it."""
    return {
        "stack": said.replica.stack,
        "word": said.word,
        "kind": said.kind,
        "reason": said.reason,
        "since_us": said.since_us,
        "attempt": said.attempt,
        "incarnation": said.incarnation,
        "counts": counts,
    }


def _standing(book: Book, topology: Topology, region: str, now_us: int) -> dict[str, Any]:
    standing = book.region_standing(region)
    order = book.region_orders.get(region)
    states = []
    if book.is_drained(region, founding=topology.region(region).founding):
        states.append("removed" if order and order.word is PersonWord.REMOVED else "drained")
    if standing is None:
        states.append("silent")
        return {"state": states, "heard_s": None, "lag_s": None, "stack": None}
    states += [word for word, holds in (("ill", standing.ill), ("halted", standing.halted)) if holds]
    return {
        "state": states or ["serving"],
        "heard_s": max(0.0, (now_us - standing.at_us) / 1e6),
        "lag_s": standing.lag_s,
        "stack": standing.replica.stack,
    }


def kept_facts(kept: Kept) -> dict[str, Any]:
    """A kept row as JSON knows it, without its payload."""
    return {
        "stage": kept.stage,
        "kind": kept.kind,
        "reason": kept.reason,
        "since_us": kept.since_us,
        "attempt": kept.attempt,
        "incarnation": kept.incarnation,
        "decisions": [decision_facts(decision) for decision in kept.decisions],
    }


def decision_facts(decision: Decision) -> dict[str, Any]:
    """A decision with the reason why the row that gave it exists."""
    row = decision.row
    why = REDRIVEN if row.startswith("redrive-") else WHY.get(row, "a row that this release does not have")
    return {
        "at_us": decision.at_us,
        "verdict": decision.verdict,
        "row": row,
        "why": why,
        "evidence": decision.evidence,
    }


def _next(located: Located) -> Iterator[str]:
    for region, kept in sorted(located.kept.items()):
        last = kept.decisions[-1] if kept.decisions else None
        names = [last.row, last.verdict] if last and kept.stage is Stage.HELD else []
        text = next((NEXT[name] for name in (*names, kept.stage) if name in NEXT), None)
        if text is not None:
            yield text.format(region=region)


def _commands(located: Located) -> Iterator[str]:
    key = located.key.printed
    stages = {kept.stage for kept in located.kept.values()} - {Stage.DONE}
    dropped = located.book.is_dropped(located.key)
    if stages:
        yield f"tocsin quarantine show {key}    # the payload"
    if dropped or stages:
        yield f"tocsin quarantine redrive {key}    # once the cause is mended: every region tries it again"
    if not dropped and (stages or located.entries):
        yield f"tocsin quarantine drop {key}    # every region goes on without it; its payload stays"
    for region, kept in sorted(located.kept.items()):
        if kept.stage is Stage.HELD and kept.decisions and kept.decisions[-1].row == BUDGET_ROW:
            yield f"tocsin quarantine release-budget --region {region}    # once it is clear whose fault it is"


# In words ------------------------------------------------------------------------------------------------------------


def in_words(explained: Mapping[str, Any], when: When) -> list[str]:
    """The facts as lines of text; an indented line belongs to the one above it."""
    return [
        *_request_in_words(explained, when),
        "",
        "what was said",
        *_said_in_words(explained, when),
        "",
        "the regions",
        *(_region_in_words(name, state) for name, state in explained["regions"].items()),
        "",
        "where it is, and why",
        *_where_in_words(explained, when),
        *_section("what happens next", explained["next"]),
        *_section("what you can do", explained["commands"]),
    ]


def _section(heading: str, lines: list[str]) -> list[str]:
    return ["", heading, *(f"  {line}" for line in lines)] if lines else []


def _request_in_words(explained: Mapping[str, Any], when: When) -> Iterator[str]:
    request = explained["request"]
    yield f"request {explained['key']} (partition {explained['partition']})"
    if request["unreadable"]:
        yield f"  {request['unreadable']}"
    if request["service"] == NOBODY.service and request["minted_us"] is None:
        yield "  all that is known of it is the digest of its bytes: no service, no dedup key, no time"
        return
    action = f"{request['action']} " if request["action"] else ""
    yield f"  {action}for service {request['service']}, dedup key {request['dedup_key']}"
    yield f"  minted {when(request['minted_us'])}"
    if request["received_us"] is not None:
        yield f"  received in region {request['received_in']} {when(request['received_us'])}"


def _said_in_words(explained: Mapping[str, Any], when: When) -> Iterator[str]:
    person = explained["person"]
    if person:
        why = f": {person['why']}" if person["why"] else ""
        yield f"  {person['by']} said {person['word']} {when(person['at_us'])} (word {person['number']}){why}"
    if not any(explained["words"].values()):
        yield "  no region ever said anything about it in the ledger: nobody failed to store it"
        return
    for region, words in explained["words"].items():
        if not words:
            yield f"  {region}: nothing"
        for word in words:
            kind = f" ({word['kind']})" if word["kind"] else ""
            reason = f": {word['reason']}" if word["reason"] else ""
            note = "" if word["counts"] else f" [counts no more: stack {word['stack']}, data {word['incarnation']}]"
            yield f"  {region}: {word['word']}{kind} since {when(word['since_us'])}{reason}{note}"


def _region_in_words(name: str, state: Mapping[str, Any]) -> str:
    words = f"  {name}: {', '.join(state['state'])}"
    if state["heard_s"] is None:
        return f"{words}: no heartbeat in the ledger"
    return f"{words}; last heartbeat {state['heard_s']:.0f} s ago, lag {state['lag_s']:.1f} s"


def _where_in_words(explained: Mapping[str, Any], when: When) -> Iterator[str]:
    for region, where in explained["where"].items():
        yield f"  {region}: {where}"
        kept = explained["kept"].get(region)
        for decision in kept["decisions"] if kept else ():
            yield f"    {when(decision['at_us'])}  {decision['verdict']} by row {decision['row']}: {decision['why']}"
            yield f"      seen: {decision['evidence']}"


def incarnations(book: Book) -> list[dict[str, Any]]:
    """Each replica's current incarnation, and the data that it was opened on."""
    return [
        {"replica": str(replica), "incarnation": opened.incarnation, "database": opened.database}
        for replica, opened in sorted(book.opened.items())
    ]
