"""Records of the directory: one rule that every region keeps, their bytes, and who cannot be reached."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.core.directory import (
    VALUE_BYTES_MAX,
    DirectoryRecord,
    InvalidRecord,
    Kind,
    Name,
    Records,
    RoutingKey,
    Service,
    ServiceUrgency,
    decode_directory,
    encode_directory,
    faults,
    hash_key,
    merge,
    name_of,
    next_us,
    of_file,
    unreachable,
)
from tocsin.core.paging.people import METHODS_MAX, RULES_MAX, Method, Person, Rule, Urgency
from tocsin.core.requests import TIME_US_MAX

MAIL = Method("mail", "email", "ann@example.org")
ANN = Person("ann", "Ann", "ann@example.org", (MAIL,), (Rule("r", "mail"), Rule("s", "mail", 60.0, "low")))
DEMO = Service("demo", "Demo", (RoutingKey(hash_key("0" * 32)),), responders=("ann",))

BODIES = st.none() | st.builds(Person, st.just("ann"), st.text(max_size=3))
RECORDS = st.builds(DirectoryRecord, st.just(name_of(ANN)), st.integers(0, 3), st.sampled_from(["", "a", "b"]), BODIES)


# The one that counts -------------------------------------------------------------------------------------------------


@given(RECORDS, RECORDS, RECORDS)
def test_merging_is_a_join(one: DirectoryRecord, two: DirectoryRecord, three: DirectoryRecord) -> None:
    assert merge(one, two) == merge(two, one)
    assert merge(merge(one, two), three) == merge(one, merge(two, three))
    assert merge(one, one) == one


@given(st.lists(st.tuples(RECORDS, st.sampled_from("xyz")), max_size=8).flatmap(
    lambda said: st.tuples(st.just(said), st.permutations([*said, *said[:3]]))
))  # fmt: skip
def test_whatever_order_and_however_often_records_come_all_end_alike(
    orders: tuple[list[tuple[DirectoryRecord, str]], list[tuple[DirectoryRecord, str]]],
) -> None:
    ends = []
    for said in orders:
        records = Records()
        for record, id in said:
            before = dict(records.by_name)
            assert records.take(record._replace(name=Name(Kind.USER, id))) is (records.by_name != before)
        ends.append(records.by_name)
    assert ends[0] == ends[1]


def test_a_later_record_counts_and_of_one_time_the_region_with_the_higher_name() -> None:
    early, late = DirectoryRecord(name_of(ANN), 5, "b", ANN), DirectoryRecord(name_of(ANN), 6, "a", None)

    assert merge(early, late) is late
    assert merge(early, early._replace(region="a")) is early


def test_what_the_file_says_is_the_least_there_can_be() -> None:
    assert merge(of_file(ANN), DirectoryRecord(name_of(ANN), 0, "a", None)).body is None


def test_a_change_is_above_what_was_seen_whatever_the_clock_says() -> None:
    assert next_us(None, 70) == 70
    assert next_us(DirectoryRecord(name_of(ANN), 60, "a", ANN), 70) == 70
    assert next_us(DirectoryRecord(name_of(ANN), 90, "a", ANN), 70) == 91


def test_more_names_than_may_be_are_left_out_and_known_ones_still_change() -> None:
    records = Records(names_max=1)
    assert records.take(of_file(ANN))
    assert not records.take(of_file(DEMO))
    assert records.is_full
    assert records.take(DirectoryRecord(name_of(ANN), 1, "a", None))


# Bytes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [ANN, DEMO, None])
def test_a_record_comes_back_as_it_was(body: Person | Service | None) -> None:
    record = DirectoryRecord(name_of(body) if body else name_of(ANN), 7, "a", body)

    assert decode_directory(*encode_directory(record)) == record


def test_no_routing_key_travels() -> None:
    _, value = encode_directory(DirectoryRecord(name_of(DEMO), 7, "a", DEMO))

    assert b"0" * 32 not in value
    assert hash_key("0" * 32) in value


def test_the_largest_person_there_may_be_fits() -> None:
    methods = tuple(Method("m" * 60 + f"{n:04d}", "apprise", "x" * 2_048) for n in range(METHODS_MAX))
    rules = tuple(Rule("r" * 100, "m" * 64, 1.0 + n) for n in range(RULES_MAX))
    key, value = encode_directory(
        DirectoryRecord(Name(Kind.USER, "u"), 7, "a", Person("u", "n" * 255, "e", methods, rules))
    )

    assert key == b"user/u"
    assert len(value) < VALUE_BYTES_MAX / 3


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, b""),
        (b"", b""),
        (b"team/ann", encode_directory(of_file(ANN))[1]),
        (b"user/bob", encode_directory(of_file(ANN))[1]),
        (b"user/", encode_directory(of_file(ANN))[1]),
        (b"user/\xff", encode_directory(of_file(ANN))[1]),
        (b"user/ann", b"\xff"),
        (b"user/ann", encode_directory(of_file(ANN))[1] + b"x" * VALUE_BYTES_MAX),
        (b"user/ann", msgspec.msgpack.encode((-1, "a", None))),
        (b"user/ann", msgspec.msgpack.encode((TIME_US_MAX, "a", None))),
        (b"user/" + b"n" * 65, msgspec.msgpack.encode((1, "a", None))),
    ],
)
def test_what_is_no_record_is_refused_as_that(key: bytes | None, value: bytes) -> None:
    with pytest.raises(InvalidRecord):
        decode_directory(key, value)


def test_what_a_later_version_adds_is_passed_over() -> None:
    value = msgspec.msgpack.encode((5, "a", {"id": "ann", "name": "Ann", "shoe_size": 38}))

    assert decode_directory(b"user/ann", value).body == Person("ann", "Ann")


# Urgency and reach ---------------------------------------------------------------------------------------------------


def test_a_service_decides_the_urgency_of_its_incidents_or_leaves_it_to_their_severity() -> None:
    assert DEMO.urgency_of(Urgency.LOW) == Urgency.LOW
    always = msgspec.structs.replace(DEMO, urgency=ServiceUrgency.HIGH)
    assert always.urgency_of(Urgency.LOW) == Urgency.HIGH


@pytest.mark.parametrize(
    ("person", "why"),
    [
        (None, "is nobody"),
        (Person("ann"), "has no contact method"),
        (Person("ann", methods=(Method("mail", "email", "x", verified=False),)), "has no verified contact method"),
        (Person("ann", methods=(Method("mail", "email", "x", blocked=True),)), "no contact method left that is not"),
        (Person("ann", methods=(Method("pigeon", "pigeon", "x"),)), "none of a kind that is known"),
        (Person("ann", methods=(MAIL,)), "has no rule for high urgency"),
        (Person("ann", methods=(MAIL,), rules=(Rule("r", "gone"),)), "has no rule for high urgency"),
        (Person("ann", methods=(MAIL,), rules=(Rule("r", "mail"),)), "has no rule for low urgency"),
    ],
)
def test_a_responder_who_cannot_be_reached_is_told_with_the_reason(person: Person | None, why: str) -> None:
    found = unreachable(DEMO, lambda id: person if id == "ann" else None)

    assert why in str(found[0])
    assert str(found[0]).startswith("responder ann of service demo ")


def test_only_the_urgency_that_a_service_has_needs_rules() -> None:
    low_only = Person("ann", methods=(MAIL,), rules=(Rule("r", "mail", 0.0, "low"),))
    service = msgspec.structs.replace(DEMO, urgency=ServiceUrgency.LOW)

    assert unreachable(service, lambda _: low_only) == []
    assert unreachable(DEMO, lambda _: ANN) == []
    assert unreachable(Service("quiet", "Quiet"), lambda _: None) == []


def test_two_services_with_one_key_are_a_fault() -> None:
    twin = Service("twin", "Twin", DEMO.keys)

    assert faults([DEMO, twin], lambda _: ANN) == [
        "services demo and twin have one routing key; its events go to the one changed last"
    ]
