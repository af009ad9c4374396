"""Names and bytes that regions, releases and kept rows have in common: other ones here are another format."""

import pytest

from tests.unit.core.paging.words import assigned
from tocsin.core.ids import Parent, RequestKey
from tocsin.core.paging.assignments import (
    Assignment,
    InvalidAssignment,
    decode_assignment,
    encode_assignment,
    pair_of,
    user_partition,
)
from tocsin.core.paging.concern import concern_name
from tocsin.core.paging.feedback import (
    COVERS_MAX,
    ChannelKey,
    End,
    Feedback,
    Intent,
    IntentId,
    Outcome,
    Pulse,
    decode_feedback,
    encode_feedback,
)

DISK = RequestKey(Parent("web", "disk"), 0x5D684054FC3540A0, b"d" * 16)
PHONE = ChannelKey("ann", "phone", "high")
ID = IntentId("a", 1, 2)


@pytest.mark.parametrize(
    ("user", "of_4", "of_64", "of_997"), [("ann", 3, 55, 575), ("bob", 1, 17, 6), ("Zoë", 3, 19, 380), ("", 1, 45, 974)]
)
def test_the_partition_of_a_user_never_changes(user: str, of_4: int, of_64: int, of_997: int) -> None:
    assert (user_partition(user, 4), user_partition(user, 64), user_partition(user, 997)) == (of_4, of_64, of_997)


def test_the_names_of_pairs_and_incidents_never_change() -> None:
    assert pair_of(DISK, "rule 0").hex() == "b5b1d615d55da134"
    assert concern_name(DISK.parent, DISK.id).hex() == "3feedc88fb9cdb34"


def test_a_pair_is_another_for_each_part_of_its_incident_and_wherever_one_part_ends() -> None:
    others = [
        DISK._replace(parent=Parent("we", "bdisk")),
        DISK._replace(id=DISK.id + 1),
        DISK._replace(digest=b"e" * 16),
        DISK._replace(digest=b"d" * 15),
    ]
    pairs = [pair_of(DISK, "rule"), pair_of(DISK, "dule"), *(pair_of(one, "rule") for one in others)]
    pairs.append(pair_of(others[-1], "drule"))
    assert len(set(pairs)) == 7
    assert {len(pair) for pair in pairs} == {8}


def test_an_assignment_goes_by_its_user_and_comes_back_as_it_was() -> None:
    assignment = assigned(7, 5, user="Zoë", aliases=(0, 2**64 - 1))
    key, value = encode_assignment(assignment)
    assert (key, decode_assignment(value)) == ("Zoë".encode(), assignment)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", "not an assignment: Input data was truncated"),
        (b"\x80", "not an assignment: Object missing required field `user`"),
        (encode_assignment(assigned(1, 0))[1] + b"x", "not an assignment: MessagePack data is malformed"),
    ],
)
def test_what_is_no_assignment_is_refused_in_words_that_say_why(value: bytes, why: str) -> None:
    with pytest.raises(InvalidAssignment, match=f"^{why}"):
        decode_assignment(value)


@pytest.mark.parametrize("id", [-1, 2**64])
def test_an_id_outside_of_64_bits_is_no_incident_s(id: int) -> None:
    with pytest.raises(ValueError, match=r"^an incident's id has 64 bits$"):
        Assignment("ann", DISK._replace(id=id), 0, "triggered", "high", "", "", "web", 1)


@pytest.mark.parametrize(
    ("said", "key", "value"),
    [
        (
            Intent(ID, PHONE, b"12345678", 5, 6, 1, "due"),
            b"ann",
            (
                b"\x88\xa4type\xa6intent\xa2id\x93\xa1a\x01\x02\xa7channel\x93\xa3ann\xa5phone\xa4high"
                b"\xa6covers\xc4\x0812345678\xa6due_us\x05\xa5at_us\x06\xa5place\x01\xa3why\xa3due"
            ),
        ),
        (
            End(ID, PHONE, Outcome.FAILED, 7, "mail", "no"),
            b"ann",
            (
                b"\x87\xa4type\xa3end\xa2id\x93\xa1a\x01\x02\xa7channel\x93\xa3ann\xa5phone\xa4high"
                b"\xa7outcome\xa6failed\xa5at_us\x07\xa6method\xa4mail\xa6reason\xa2no"
            ),
        ),
        (
            Pulse("a", 1, 2, 3, fit=True),
            b"a",
            b"\x86\xa4type\xa5pulse\xa6region\xa1a\xa5epoch\x01\xa1n\x02\xa5at_us\x03\xa3fit\xc3",
        ),
    ],
    ids=["intent", "end", "pulse"],
)
def test_feedback_is_said_in_the_same_bytes_by_every_release(said: Feedback, key: bytes, value: bytes) -> None:
    assert encode_feedback(said) == (key, value)
    assert decode_feedback(value) == said


def test_an_intent_is_called_by_its_id_and_user_and_covers_whole_pairs_within_the_bound() -> None:
    intent = Intent(ID, PHONE, b"12345678abcdefgh", 5, 6, 1, "due")
    assert (intent.name, intent.pairs) == ("a-1-2-ann", [b"12345678", b"abcdefgh"])
    assert len(Intent(ID, PHONE, b"12345678" * COVERS_MAX, 5, 6, 1, "due").pairs) == COVERS_MAX
    for covers in (b"1234567", b"12345678" * (COVERS_MAX + 1)):
        with pytest.raises(ValueError, match=r"^an intent covers whole pairs, within the limit$"):
            Intent(ID, PHONE, covers, 5, 6, 1, "due")
