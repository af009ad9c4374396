"""The reader: which region's answer counts, and what is told of those that gave none."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.client.conftest import Answers
from tests.unit.doors import Door
from tocsin.client.reader import NoAnswer, NotFound, Place, Reader, Rejected
from tocsin.roles.tls import Presented

Open = Callable[..., Door]
FRESH = {
    "Tocsin-Complete-Until": "2026-11-22T15:00:00.000000Z",
    "Tocsin-Pending": "false",
    "Tocsin-Set-Aside": "0x1.a, 0x2.b",
    "Tocsin-Drained": "c",
}


def good() -> Answers:
    return Answers(200, b'{"incidents": []}', FRESH)


def reader(*doors: Door, **more: float) -> Reader:
    return Reader([Place(name, door.url) for name, door in zip("ab", doors, strict=False)], "token", **more)


def test_an_answer_comes_with_what_it_says_of_itself(open_door: Open) -> None:
    with reader(open_door(good())) as asks:
        answer = asks.get("/incidents")
    assert (answer.region, answer.status, answer.body) == ("a", 200, {"incidents": []})
    assert answer.complete_until == FRESH["Tocsin-Complete-Until"]
    assert (answer.is_pending, answer.set_aside, answer.drained) == (False, ("0x1.a", "0x2.b"), ("c",))


def test_what_says_nothing_of_itself_counts_as_incomplete(open_door: Open) -> None:
    with reader(open_door(Answers(200, b"{}", {"Tocsin-Complete-Until": "unknown"}))) as asks:
        answer = asks.get("/incidents")
    assert (answer.complete_until, answer.is_pending) == (None, True)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (Answers(503, b'{"error": {"message": "m", "code": 1, "errors": ["the store is away"]}}'), "the store is away"),
        (Answers(429, b""), "answers 429"),
        (Answers(500, b"<html>"), "answers 500: <html>"),
        (Answers(307, b"", {"Location": "http://127.0.0.1:1/"}), "answers 307"),
        (Answers(200, b"<html>"), "answers 200: <html>"),
        (Answers(200, b"[]"), "answers 200: []"),
    ],
)
def test_the_next_region_is_asked_when_one_gives_no_answer(open_door: Open, bad: Answers, why: str) -> None:
    with reader(open_door(bad), open_door(good())) as asks:
        answer = asks.get("/incidents")
        assert answer.region == "b"
        assert why in answer.passed_over["a"]
        assert asks.get("/incidents").passed_over == {}
    assert bad.asked == 1


@pytest.mark.parametrize(("status", "kind"), [(400, Rejected), (401, Rejected), (404, NotFound)])
def test_a_refusal_is_an_answer_and_no_other_region_is_bothered(
    open_door: Open, status: int, kind: type[Rejected]
) -> None:
    other = good()
    refusing = Answers(status, b'{"error": {"message": "Invalid", "errors": ["limit: too small"]}}')
    with reader(open_door(refusing), open_door(other)) as asks, pytest.raises(kind) as refused:
        asks.get("/incidents")
    assert (refused.value.region, refused.value.status, refused.value.errors) == ("a", status, ["limit: too small"])
    assert other.asked == 0


def test_when_none_answers_each_ones_reason_is_told(open_door: Open) -> None:
    gone = open_door(good())
    gone.kill()
    with reader(gone, open_door(Answers(503))) as asks, pytest.raises(NoAnswer) as error:
        asks.get("/incidents")
    assert error.value.reasons.keys() == {"a", "b"}
    assert "ConnectError" in error.value.reasons["a"]


def test_a_region_is_believed_by_its_ca_alone(open_door: Open, tls: tuple[Presented, Path]) -> None:
    presented, ca_file = tls
    door = open_door(good(), tls=presented)
    with Reader([Place("a", door.url, ca_file)], "token") as asks:
        assert asks.get("/incidents").region == "a"
    with Reader([Place("a", door.url)], "token") as asks, pytest.raises(NoAnswer, match="CERTIFICATE_VERIFY_FAILED"):
        asks.get("/incidents")


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "ä"])
def test_what_is_no_token_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(ValueError, match="one word of printable ASCII characters; this is none"):
        Reader([Place("a", "https://a.example")], token)


@pytest.mark.parametrize("url", ["a.example", "ftp://a.example", "https://", "https://a.example/?x=1"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is no address of a region's read interface"):
        Reader([Place("a", url)], "token")
