"""What people do to incidents: who may say so, what it must hold, and which incident it falls on."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.core.acts import SCHEMA, Act, Agent, act_body, act_of
from tocsin.core.entries import Entry
from tocsin.core.events import InvalidEvent, checked_act, client_digest, entry_of, parse_event, request_body
from tocsin.core.ids import Parent, RequestKey, format_id
from tocsin.core.incidents import Folding, after, entries_in, fold, owner_of
from tocsin.core.requests import Request

ANN = Agent("ann@example.org", "ann", "Ann")
PARENT = Parent("demo", "disk/web-01")
PAYLOAD = {"summary": "disk full", "source": "web-01", "severity": "critical"}


def request(at: int, event: dict[str, Any], schema: int = SCHEMA) -> Request:
    """A request received, and minted, at second `at`."""
    body = request_body(event, PARENT.dedup_key)
    return Request(RequestKey(PARENT, at << 32, client_digest(PARENT, body)), at * 1_000_000, "a", schema, body)


def machine(at: int, action: str, **members: Any) -> Entry:
    return entry_of(request(at, {"event_action": action, "payload": PAYLOAD, **members}, schema=1))


def act(at: int, action: str, of: int, note: str = "") -> Entry:
    """Ann's act at second `at` on the incident of second `of`."""
    return entry_of(request(at, act_body(action, ANN, incident=format_id(of << 32), note=note)))


def test_an_act_says_who_did_what_to_which_incident() -> None:
    entry = act(5, "resolve", of=1, note="replaced the disk")

    assert entry.action == "resolve"
    assert act_of(entry) == Act(ANN, "user_resolve", format_id(1 << 32), "replaced the disk")


def test_an_incident_knows_who_acknowledged_it_first_and_who_resolved_it() -> None:
    (incident,) = fold([machine(1, "trigger"), act(2, "acknowledge", of=1), act(3, "resolve", of=1)])

    assert (incident.status, incident.acknowledged_us, incident.resolved_us) == ("resolved", 2_000_000, 3_000_000)
    assert (incident.acknowledged_by, incident.resolved_by) == (ANN.email, ANN.email)
    (incident,) = fold([machine(1, "trigger"), machine(2, "acknowledge"), act(3, "acknowledge", of=1)])
    assert (incident.acknowledged_us, incident.acknowledged_by) == (2_000_000, "")


def test_a_person_opens_an_incident_as_a_machine_does() -> None:
    (incident,) = fold([entry_of(request(1, act_body("trigger", ANN, payload=PAYLOAD)))])

    assert (incident.title, incident.status, incident.urgency) == ("disk full", "triggered", "high")


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
def test_an_act_on_an_incident_that_ended_does_not_fall_on_the_next(action: str) -> None:
    story = [machine(1, "trigger"), machine(2, "resolve"), machine(3, "trigger"), act(4, action, of=1)]
    ended, open_ = fold(story)

    assert (ended.status, ended.entries) == ("resolved", 2)
    assert (open_.status, open_.entries) == ("triggered", 1)
    assert owner_of(story[3], [ended, open_]) is None


def test_a_note_belongs_to_its_incident_also_after_the_end_and_changes_nothing_else() -> None:
    story = [machine(1, "trigger"), machine(2, "resolve"), machine(3, "trigger")]
    note = act(4, "annotate", of=1, note="it was the cable")
    before, untouched = fold(story)
    ended, open_ = fold([*story, note])

    assert ended == msgspec.structs.replace(before, entries=3, updated_us=4_000_000)
    assert open_ == untouched
    assert entries_in(ended.key, [*story, note]) == [*story[:2], note]
    assert owner_of(note, [ended, open_]) == ended


def test_an_act_finds_its_incident_by_an_alias() -> None:
    (incident,) = fold([machine(1, "trigger"), machine(3, "trigger"), act(4, "resolve", of=3)])

    assert (incident.key.id, incident.status) == (1 << 32, "resolved")


def test_what_an_incident_will_be_is_what_the_fold_makes_of_it() -> None:
    story = [machine(1, "trigger")]
    acts = [act(2, "acknowledge", of=1), act(3, "annotate", of=1, note="on it"), act(4, "resolve", of=1)]

    assert after(fold(story)[0], acts) == fold([*story, *acts])[0]


MADE = st.lists(
    st.tuples(st.sampled_from(["trigger", "acknowledge", "resolve", "annotate"]), st.booleans(), st.integers(1, 8)),
    max_size=8,
)


def story_of(made: list[tuple[str, bool, int]]) -> list[Entry]:
    entries = []
    for at, (action, is_person, of) in enumerate(made, 1):
        if action == "annotate" or (is_person and action != "trigger"):
            entries.append(act(at, action, of=min(of, at), note="n"))  # nobody names what is yet to come
        else:
            entries.append(machine(at, action))
    return entries


@given(MADE, st.randoms())
def test_neither_order_nor_number_of_acts_and_events_matters(made: list[tuple[str, bool, int]], chance: Any) -> None:
    entries = story_of(made)
    shuffled = [*entries, *chance.sample(entries, len(entries) // 2)]
    chance.shuffle(shuffled)
    one_by_one = Folding()

    assert fold(shuffled) == fold(entries)
    assert all(one_by_one.apply(entry) for entry in entries)
    assert one_by_one.incidents == fold(entries)


@given(MADE)
def test_whose_an_entry_is_can_be_told_without_a_fold(made: list[tuple[str, bool, int]]) -> None:
    entries = story_of(made)
    incidents = fold(entries)
    members = {entry.key: one.key for one in incidents for entry in entries_in(one.key, entries)}

    for entry in entries:
        owner = owner_of(entry, incidents)
        assert (owner.key if owner else None) == members.get(entry.key)


# Who may say that a person did something ------------------------------------------------------------------------


def test_a_machine_cannot_pass_for_a_person() -> None:
    key = "k" * 32
    claim = {"routing_key": key, "dedup_key": "k", "agent": {"email": ANN.email}, "incident": format_id(1 << 32)}

    for action in ("user_resolve", "user_annotate", "annotate"):
        with pytest.raises(InvalidEvent, match="event_action"):
            parse_event(msgspec.json.encode({**claim, "event_action": action}))
    event = parse_event(msgspec.json.encode({**claim, "event_action": "resolve"}))
    for schema in (1, SCHEMA):
        assert act_of(entry_of(request(5, event, schema))) is None


def test_an_act_in_a_request_of_the_first_schema_version_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="which schema version 1 does not have"):
        entry_of(request(5, act_body("annotate", ANN, incident=format_id(1), note="n"), schema=1))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"agent": None}, "'agent' is missing"),
        ({"agent": {"email": ""}}, "'agent.email' is missing"),
        ({"agent": {"email": "a" * 256}}, "'agent.email' is too long"),
        ({"incident": None}, "'incident' is missing"),
        ({"incident": "0x1"}, "'incident' must be a temporal id"),
        ({"incident": 5}, "'incident' must be a temporal id"),
        ({"note": " "}, "'note' is missing"),
        ({"note": "n" * 25_001}, "'note' is too long"),
        ({"note": "a\0b"}, "holds a NUL character"),
    ],
)
def test_an_act_that_lacks_something_is_refused_where_it_is_made(changes: dict[str, Any], error: str) -> None:
    whole = act_body("annotate", ANN, incident=format_id(1), note="n")
    checked_act({**whole, "dedup_key": "k"})

    with pytest.raises(InvalidEvent, match=error):
        checked_act({**whole, "dedup_key": "k", **changes})


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"event_action": 5}', b'{"event_action":"user_resolve"}',
                                  b'{"event_action":"user_resolve","agent":{"email":"a"},"incident":"x"}'])  # fmt: skip
def test_of_a_body_that_is_no_act_nothing_is_concluded(body: bytes) -> None:
    assert act_of(Entry(RequestKey(PARENT, 1, b"d" * 16), 1, "a", SCHEMA, "resolve", body)) is None
