"""The fold: against a model, in any order and number, and one entry at a time."""

import itertools
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.core import incidents as module
from tocsin.core.entries import Entry
from tocsin.core.ids import Parent, RequestKey, digest
from tocsin.core.incidents import ALIASES_MAX, Folding, Incident, entries_in, fold, incident_of, urgency_of

PARENT = Parent("demo", "disk/web-01")


def entry(at: int, action: str, *, id: int | None = None, region: str = "a", digest: bytes = b"d" * 16) -> Entry:
    """An entry received at second `at`, minted then unless an id is given."""
    key = RequestKey(PARENT, at << 32 if id is None else id, digest)
    payload = {"summary": f"title {at}", "source": f"source {at}", "severity": "critical"}
    body = json.dumps({"event_action": action, "payload": payload}).encode()
    return Entry(key, at * 1_000_000, region, 1, action, body)


def story(*actions: str) -> list[Entry]:
    """Entries with these actions, at seconds 1, 2, 3..."""
    return [entry(at, action) for at, action in enumerate(actions, 1)]


ACTIONS = st.sampled_from(["trigger", "trigger", "acknowledge", "resolve", "annotate"])
# Few times, ids and digests, so that ties and repeated keys are frequent; a digest covers the action.
ENTRIES = st.lists(
    st.builds(
        lambda at, action, id, region, x: entry(at, action, id=id, region=region, digest=digest(action.encode(), x)),
        st.integers(1, 6),
        ACTIONS,
        st.integers(1, 6),
        st.sampled_from("ab"),
        st.sampled_from([b"", b"x"]),
    ),
    max_size=14,
)


def model(entries: list[Entry]) -> list[dict[str, Any]]:
    """What the design says, in the plainest words: the lowest record of each key, in order, one after another."""
    lowest: dict[RequestKey, Entry] = {}
    for one in sorted(entries, key=lambda e: (e.received_us, e.region)):
        lowest.setdefault(one.key, one)
    found: list[dict[str, Any]] = []
    for one in sorted(lowest.values(), key=lambda e: (e.received_us, e.key.id, e.key.digest)):
        current = found[-1] if found and found[-1]["status"] != "resolved" else None
        if current is None and one.action == "trigger":
            found.append({"key": one.key, "status": "triggered", "triggers": [one.key.id], "entries": 1,
                          "at": [one.received_us], "acknowledged": None, "resolved": None})  # fmt: skip
        elif current is not None and one.action in ("trigger", "acknowledge", "resolve"):
            current["entries"] += 1
            current["at"].append(one.received_us)
            if one.action == "trigger":
                current["triggers"].append(one.key.id)
            if one.action == "acknowledge":
                current["status"] = "acknowledged"
                current["acknowledged"] = current["acknowledged"] or one.received_us
            if one.action == "resolve":
                current["status"] = "resolved"
                current["resolved"] = one.received_us
        elif found and one.action == "annotate":
            found[-1]["entries"] += 1
            found[-1]["at"].append(one.received_us)
    return found


def summary(incident: Incident) -> dict[str, Any]:
    return {
        "key": incident.key, "status": incident.status, "triggers": incident.triggers, "entries": incident.entries,
        "aliases": incident.aliases, "created": incident.created_us, "updated": incident.updated_us,
        "acknowledged": incident.acknowledged_us, "resolved": incident.resolved_us,
    }  # fmt: skip


@given(ENTRIES)
def test_the_fold_does_what_the_model_says(entries: list[Entry]) -> None:
    expected = [
        {
            "key": m["key"], "status": m["status"], "triggers": len(m["triggers"]), "entries": m["entries"],
            "aliases": tuple(m["triggers"][1:]), "created": m["at"][0], "updated": m["at"][-1],
            "acknowledged": m["acknowledged"], "resolved": m["resolved"],
        }
        for m in model(entries)
    ]  # fmt: skip

    assert [summary(incident) for incident in fold(entries)] == expected


@given(ENTRIES, st.randoms())
def test_neither_order_nor_number_of_the_entries_matters(entries: list[Entry], chance: random.Random) -> None:
    shuffled = [*entries, *chance.sample(entries, len(entries) // 2)]
    chance.shuffle(shuffled)

    assert fold(shuffled) == fold(entries)


@given(ENTRIES, st.integers(0, 14))
def test_one_at_a_time_comes_to_the_same_or_says_that_it_cannot(entries: list[Entry], start: int) -> None:
    taken = entries[:start]
    folding = Folding.of(taken)
    for one in entries[len(taken) :]:
        taken.append(one)
        if not folding.apply(one):
            folding = Folding.of(taken)
        assert folding.incidents == fold(taken)


@given(ENTRIES)
def test_what_comes_in_order_never_needs_a_fold_from_the_start(entries: list[Entry]) -> None:
    lowest = {one.key: one for one in sorted(entries, key=lambda e: (e.received_us, e.region), reverse=True)}
    folding = Folding()

    assert all(folding.apply(one) for one in sorted(lowest.values(), key=lambda e: e.order))
    assert folding.incidents == fold(entries)


@given(ENTRIES, st.integers(0, 14))
def test_two_parts_in_order_come_to_the_same_as_the_whole(entries: list[Entry], cut: int) -> None:
    ordered = sorted({one.key: one for one in entries}.values(), key=lambda e: e.order)
    folding = Folding.of(ordered[:cut])

    assert all(folding.apply(one) for one in ordered[cut:])
    assert folding.incidents == fold(ordered)


@given(ENTRIES.filter(bool), st.data())
def test_an_entry_that_is_refused_changes_nothing(entries: list[Entry], data: st.DataObject) -> None:
    folding = Folding.of(entries)
    before = list(folding.incidents)
    late = data.draw(st.sampled_from(entries))._replace(received_us=0)

    assert not folding.apply(late)
    assert folding.incidents == before


def test_a_trigger_opens_an_incident_under_its_own_id_and_words() -> None:
    assert fold([entry(7, "trigger")]) == [
        Incident(
            RequestKey(PARENT, 7 << 32, b"d" * 16), "triggered", "high", "critical", "title 7", "source 7",
            7_000_000, 7_000_000, None, None, triggers=1, entries=1,
        )
    ]  # fmt: skip


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
def test_without_an_open_incident_an_acknowledge_or_resolve_belongs_to_none(action: str) -> None:
    assert fold(story(action)) == []
    (incident,) = fold(story("trigger", "resolve", action))
    assert incident == fold(story("trigger", "resolve"))[0]


def test_an_acknowledged_incident_stays_so_for_new_triggers() -> None:
    (incident,) = fold(story("trigger", "acknowledge", "trigger"))

    assert (incident.status, incident.triggers, incident.aliases) == ("acknowledged", 2, (3 << 32,))


def test_a_later_trigger_does_not_rename_the_incident() -> None:
    (incident,) = fold(story("trigger", "trigger"))

    assert (incident.title, incident.source) == ("title 1", "source 1")


def test_a_trigger_after_a_resolve_opens_a_new_incident() -> None:
    first, second = fold(story("trigger", "resolve", "trigger"))

    assert (first.status, second.status) == ("resolved", "triggered")
    assert (first.key.id, second.key.id) == (1 << 32, 3 << 32)


def test_an_earlier_opening_that_arrives_late_makes_an_alias_and_no_second_incident() -> None:
    folding = Folding.of([entry(5, "trigger")])
    late = entry(3, "trigger")

    assert not folding.apply(late)
    (incident,) = fold([entry(5, "trigger"), late])
    assert (incident.key.id, incident.aliases, incident.title) == (3 << 32, (5 << 32,), "title 3")


def test_the_first_acknowledgement_counts() -> None:
    (incident,) = fold(story("trigger", "acknowledge", "acknowledge", "resolve"))

    assert (incident.acknowledged_us, incident.resolved_us, incident.updated_us) == (2_000_000, 4_000_000, 4_000_000)
    assert incident.entries == 4


def test_aliases_are_bounded_and_triggers_are_counted_all_the_same() -> None:
    (incident,) = fold(story(*["trigger"] * 100))

    assert incident.triggers == 100
    assert incident.aliases == tuple(at << 32 for at in range(2, ALIASES_MAX + 2))


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"\xff", b'{"payload": 5}', b"[" * 10_000, b'{"payload":' + b"[" * 10_000]
)
def test_a_body_that_nobody_can_read_still_opens_an_incident(body: bytes) -> None:
    (incident,) = fold([entry(1, "trigger")._replace(body=body)])

    assert (incident.title, incident.severity, incident.urgency) == ("", "", "high")


@pytest.mark.parametrize(
    ("severity", "urgency"),
    [("critical", "high"), ("error", "high"), ("warning", "low"), ("info", "low"), ("", "high")],
)
def test_the_urgency_follows_from_the_severity(severity: str, urgency: str) -> None:
    assert urgency_of(severity) == urgency


def test_a_repeat_that_was_received_later_is_known() -> None:
    folding = Folding.of(story("trigger", "trigger"))
    repeat = entry(1, "trigger")._replace(received_us=9_000_000)

    assert folding.apply(repeat)
    assert folding.incidents == fold(story("trigger", "trigger"))


def test_of_an_id_too_old_to_be_remembered_a_fold_from_the_start_must_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KNOWN_MAX", 4)
    folding = Folding()
    for at in range(1, 30):
        assert folding.apply(entry(at, "trigger"))

    assert len(folding._known) <= 8
    assert not folding.apply(entry(1, "trigger")._replace(received_us=99_000_000))  # a repeat, but who knows
    assert folding.apply(entry(30, "trigger"))
    assert folding.incidents == fold([entry(at, "trigger") for at in range(1, 31)])


def test_the_newest_ids_are_remembered_and_the_highest_that_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KNOWN_MAX", 4)
    folding = Folding.of([entry(at, "trigger") for at in range(1, 10)])

    assert sorted(folding._known) == [(entry(at, "trigger").key.id, b"d" * 16) for at in range(6, 10)]
    assert folding._forgotten_id == entry(5, "trigger").key.id
    assert not folding.apply(entry(99, "trigger", id=entry(5, "trigger").key.id, digest=b"e" * 16))  # a repeat, perhaps


def test_ids_that_collide_are_counted() -> None:
    entries = [entry(at, "trigger", id=at // 3, digest=bytes([at]) * 16) for at in range(3, 12)]

    assert Folding.of(entries).collisions == 6
    assert Folding.of(entries[:1]).collisions == 0


@pytest.mark.parametrize(("severity", "urgency"), [("info", "low"), ("critical", "high")])
def test_an_incident_has_the_urgency_of_its_opening(severity: str, urgency: str) -> None:
    body = b'{"payload":{"summary":"s","source":"s","severity":"%s"}}' % severity.encode()

    assert fold([entry(1, "trigger")._replace(body=body)])[0].urgency == urgency


def test_an_entry_falls_into_the_time_of_the_latest_incident_opened_before_it() -> None:
    entries = story("resolve", "trigger", "resolve", "acknowledge", "trigger", "trigger")
    first, second = fold(entries)

    assert [incident_of(one, (first, second)) for one in entries] == [None, first, first, first, second, second]


@given(ENTRIES)
def test_each_entry_is_in_one_incident_at_most_and_as_many_as_are_counted(entries: list[Entry]) -> None:
    incidents = fold(entries)
    members = [entries_in(incident.key, entries) for incident in incidents]

    assert [len(found) for found in members] == [incident.entries for incident in incidents]
    assert len({one.key for found in members for one in found}) == sum(map(len, members))
    assert [found[0].key for found in members] == [incident.key for incident in incidents]


def test_every_story_of_four_events_comes_to_at_most_one_open_incident() -> None:
    for actions in itertools.product(["trigger", "acknowledge", "resolve"], repeat=4):
        *closed, latest = fold(story("trigger", *actions))

        assert all(incident.status == "resolved" for incident in closed)
        assert sum(incident.entries for incident in (*closed, latest)) <= 5


# What a caller is told of a fold ---------------------------------------------------------------------------------


def test_a_fold_tells_once_which_incidents_changed() -> None:
    opened, ended, reopened, seen = story("trigger", "resolve", "trigger", "acknowledge")
    folding = Folding.of([opened, ended])
    assert folding.changes() == folding.incidents
    assert folding.changes() == []
    assert folding.apply(reopened)
    assert folding.apply(ended)
    assert folding.changes() == folding.incidents[1:]
    assert folding.apply(seen)
    assert folding.changes() == folding.incidents[1:]
    assert len(folding.incidents) == 2
