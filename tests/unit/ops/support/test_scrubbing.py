"""Scrubbing: known secrets in every spelling, shapes of secrets, names of secrets; and what must stay readable."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.ops.support.scrubbing import Scrubber

PASSWORD = 'pä ss"w/rd+%&'


@pytest.mark.parametrize(
    "spelt",
    [
        PASSWORD,
        quote(PASSWORD),
        quote(PASSWORD, safe=""),
        json.dumps(PASSWORD)[1:-1],
        base64.b64encode(PASSWORD.encode()).decode(),
        base64.urlsafe_b64encode(PASSWORD.encode()).decode().rstrip("="),
        PASSWORD.encode().hex(),
    ],
)
def test_what_is_known_goes_in_every_spelling(spelt: str) -> None:
    scrubber = Scrubber([PASSWORD])
    assert spelt not in scrubber.text(f"the server said {spelt} was wrong")
    assert spelt not in scrubber.json({"a": [{spelt: spelt}]})


@given(
    st.text(st.characters(blacklist_categories=["Cs"]), min_size=4, max_size=40),
    st.text(st.characters(blacklist_categories=["Cs"]), max_size=40),
)
def test_no_known_secret_is_left_wherever_it_stands(secret: str, around: str) -> None:
    scrubbed = Scrubber([secret]).text(f"{around}{secret}{around}")
    # What takes its place is made of other words than it.
    assert secret not in scrubbed or secret in "[redacted 0123456789abcdef]" or secret in around + around


def test_a_binary_key_goes_as_hex_and_base64() -> None:
    key = bytes(range(200, 232))
    told = Scrubber([key]).text(f"{key.hex()} {base64.b64encode(key).decode()}")
    assert key.hex() not in told
    assert base64.b64encode(key).decode() not in told


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("by tocsin_0123456789abcdef_" + 64 * "a", 64 * "a"),
        ("whsec_c2VjcmV0LXNlY3JldA==", "c2VjcmV0"),
        ("key 0123456789abcdef0123456789abcdef here", "0123456789abcdef0123456789abcdef"),
        ("ping 8e8b0a52-9b0e-4d0c-9a0e-3c1b3a1a4c11 sent", "9b0e-4d0c"),
        ("GET https://kim:hunter2@example.org/x", "hunter2"),
        ("GET https://kim:12/34@example.org/x", "12"),
        ("POST https://hooks.example.org/services/T0/B0/shh?k=v", "shh"),
        ("notify tgram://bot123:shh/chat", "bot123"),
        ("Authorization: Bearer shh.shh.shh", "shh.shh"),
        ("AUTH with basic c2hoOnNoaA==", "c2hoOnNoaA"),
        ("smtp_password=hunter2, next", "hunter2"),
        ("-----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY-----", "MIIabc"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIabc cut off", "MIIabc"),
    ],
)
def test_shapes_and_names_of_secrets_go(text: str, gone: str) -> None:
    assert gone not in Scrubber([]).text(text)


@pytest.mark.parametrize(
    "text",
    [
        "partition 3 is halted: 0x5d684054fc3540a0.0123456789ab: better-peer-stored",
        "GET http://127.0.0.1:40123/health/ready",
        "took 0.25 s\nand 3 more lines",
        '{"action": "region_state", "halted": false}',
    ],
)
def test_what_an_engineer_needs_stays(text: str) -> None:
    assert Scrubber(["hunter2"]).text(text) == text


def test_the_same_secret_leaves_the_same_word_and_another_one_another() -> None:
    scrubber = Scrubber(["hunter2", "hunter3"])
    first, again, other = (scrubber.text(text) for text in ("hunter2", "hunter2", "hunter3"))
    assert first == again != other
    assert Scrubber(["hunter2"]).text("hunter2") != first  # or it could be looked up


def test_fields_are_judged_by_their_names_however_deep() -> None:
    value: dict[str, object] = {"token": ["a", "b"], "fine": 1}
    for _ in range(20):
        value = {"within": [value]}
    told = Scrubber([]).json(value)
    assert '"[redacted]"' in told
    assert '"fine": 1' in told
