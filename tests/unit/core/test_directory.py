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
    assert of_file(ANN) == DirectoryRecord(name_of(ANN), 0, "", ANN)
    assert merge(of_file(ANN), DirectoryRecord(name_of(ANN), 0, "a", None)).body is None


def test_a_change_is_above_what_was_seen_whatever_the_clock_says() -> None:
    assert next_us(None, 70) == 70
    assert next_us(DirectoryRecord(name_of(ANN), 60, "a", ANN), 70) == 70
    assert next_us(DirectoryRecord(name_of(ANN), 90, "a", ANN), 70) == 91


def test_more_names_than_may_be_are_left_out_and_known_ones_still_change() -> None:
    records = Records(names_max=1)
    assert (records.take(of_file(ANN)), records.is_full) == (True, False)
    assert (records.take(of_file(DEMO)), records.is_full) == (False, True)
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


ANN_BYTES = encode_directory(of_file(ANN))[1]
OUT_OF_BOUNDS = "its id or its time is out of bounds"


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        (None, ANN_BYTES, "not a directory record: '' is not a valid Kind"),
        (b"team/ann", ANN_BYTES, "not a directory record: 'team' is not a valid Kind"),
        (b"user/\xff", ANN_BYTES, "not a directory record: 'utf-8' codec can't decode byte 0xff in position 5"),
        (b"user/ann", b"\xc1", "not a directory record: MessagePack data is malformed"),
        (b"user/ann", b"x" * (VALUE_BYTES_MAX + 1), "262145 bytes, more than 262144"),
        (b"user/ann", b"\xc1" * VALUE_BYTES_MAX, "not a directory record: MessagePack data is malformed"),
        (b"user/bob", ANN_BYTES, "user bob holds what is called 'ann'"),
        (b"user/ann/bob", ANN_BYTES, "user ann/bob holds what is called 'ann'"),
        (b"user/", msgspec.msgpack.encode((1, "a", None)), OUT_OF_BOUNDS),
        (b"user/" + b"n" * 65, msgspec.msgpack.encode((1, "a", None)), OUT_OF_BOUNDS),
        (b"user/ann", msgspec.msgpack.encode((-1, "a", None)), OUT_OF_BOUNDS),
        (b"user/ann", msgspec.msgpack.encode((TIME_US_MAX, "a", None)), OUT_OF_BOUNDS),
    ],
)
def test_what_is_no_record_is_refused_in_words_that_say_why(key: bytes | None, value: bytes, why: str) -> None:
    with pytest.raises(InvalidRecord) as refused:
        decode_directory(key, value)
    assert str(refused.value).startswith(why)


@pytest.mark.parametrize("updated_us", [0, TIME_US_MAX - 1])
@pytest.mark.parametrize("length", [1, 64])
def test_the_bounds_of_an_id_and_a_time_are_records(length: int, updated_us: int) -> None:
    record = DirectoryRecord(Name(Kind.USER, "n" * length), updated_us, "a", None)

    assert decode_directory(*encode_directory(record)) == record


def test_what_a_later_version_adds_is_passed_over() -> None:
    value = msgspec.msgpack.encode((5, "a", {"id": "ann", "name": "Ann", "shoe_size": 38}))

    assert decode_directory(b"user/ann", value).body == Person("ann", "Ann")


# Urgency and reach ---------------------------------------------------------------------------------------------------


def test_a_service_decides_the_urgency_of_its_incidents_or_leaves_it_to_their_severity() -> None:
    assert DEMO.urgency_of(Urgency.LOW) == Urgency.LOW
    always = msgspec.structs.replace(DEMO, urgency=ServiceUrgency.HIGH)
    assert always.urgency_of(Urgency.LOW) == Urgency.HIGH


MISSING_RULE = "has no rule for {} urgency that leads anywhere; mail is used at once instead"


@pytest.mark.parametrize(
    ("person", "why"),
    [
        (None, "is nobody: no user has this id"),
        (Person("ann"), "has no contact method"),
        (Person("ann", methods=(Method("mail", "email", "x", verified=False),)), "has no verified contact method"),
        (
            Person("ann", methods=(Method("mail", "email", "x", blocked=True),)),
            "has no contact method left that is not blocked",
        ),
        (
            Person("ann", methods=(Method("pigeon", "pigeon", "x"),)),
            "has contact methods, but none of a kind that is known here",
        ),
        (Person("ann", methods=(MAIL,)), MISSING_RULE.format("high")),
        (Person("ann", methods=(MAIL,), rules=(Rule("r", "gone"),)), MISSING_RULE.format("high")),
        (Person("ann", methods=(MAIL,), rules=(Rule("r", "mail"),)), MISSING_RULE.format("low")),
    ],
)
def test_a_responder_who_cannot_be_reached_is_told_with_the_reason(person: Person | None, why: str) -> None:
    found = unreachable(DEMO, lambda id: person if id == "ann" else None)

    assert str(found[0]) == f"responder ann of service demo {why}"


def test_only_the_urgency_that_a_service_has_needs_rules() -> None:
    low_only = Person("ann", methods=(MAIL,), rules=(Rule("r", "mail", 0.0, "low"),))
    service = msgspec.structs.replace(DEMO, urgency=ServiceUrgency.LOW)

    assert unreachable(service, lambda _: low_only) == []
    assert unreachable(DEMO, lambda _: ANN) == []
    assert unreachable(Service("quiet", "Quiet"), lambda _: None) == []


def test_all_faults_are_told_and_keys_that_differ_are_none() -> None:
    other = Service("other", "Other", (RoutingKey(hash_key("1" * 32)),), responders=("bob",))
    twin = Service("twin", "Twin", DEMO.keys, responders=("cleo",))

    assert faults([DEMO, other, twin], {"ann": ANN}.get) == [
        "responder bob of service other is nobody: no user has this id",
        "responder cleo of service twin is nobody: no user has this id",
        "services demo and twin have one routing key; its events go to the one changed last",
    ]
