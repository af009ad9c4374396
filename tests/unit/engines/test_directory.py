"""The directory of a YAML file: what it says, and what becomes of its faults."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.config import ConfigError
from tocsin.core.directory import Ack, DirectoryRecord, Kind, Name, PeerUnreachable, RoutingKey, Service, hash_key
from tocsin.core.paging.people import Person
from tocsin.engines.directory import FileDirectory, View

KEY, OTHER_KEY = "0" * 32, "1" * 32
GOOD = f"""
services:
  - id: demo
    name: Demo
    routing_keys: ["{KEY}"]
  - id: payments
    name: Payments
    routing_keys: ["{OTHER_KEY}", "{"2" * 32}"]
    ack: all-regions
    when_peer_unreachable: accept
    retiring_keys: [{{key: "{"9" * 32}", until: 2023-11-14T22:13:20+00:00}}]
users:
  - {{id: zoe, name: Zoe, email: Zoe@example.org}}
  - {{id: ann, name: Ann, email: ann@example.org}}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "directory.yaml"
    path.write_text(GOOD, encoding="utf-8")
    return path


def test_a_service_is_found_by_each_of_its_keys_and_by_its_id(path: Path) -> None:
    directory = FileDirectory(path)
    payments = directory.service("payments")

    assert payments is not None
    assert directory.service_of(OTHER_KEY) == directory.service_of("2" * 32) == payments
    assert (payments.ack, payments.when_peer_unreachable) == (Ack.ALL_REGIONS, PeerUnreachable.ACCEPT)
    assert directory.service_of("3" * 32) is None
    assert directory.service("other") is None
    assert directory.problems == []


def test_a_retiring_key_is_good_until_its_end(path: Path) -> None:
    now_us = 1_700_000_000_000_000 - 1
    directory = FileDirectory(path, lambda: now_us)

    assert directory.service_of("9" * 32) == directory.service("payments")
    now_us += 1
    assert directory.service_of("9" * 32) is None
    assert directory.service_of(OTHER_KEY) == directory.service("payments")


def test_users_and_services_are_listed_by_id_and_a_user_is_found_by_address(path: Path) -> None:
    directory = FileDirectory(path)
    ann, zoe = directory.users()

    assert (ann.id, zoe.id) == ("ann", "zoe")
    assert directory.user_of("zoe@EXAMPLE.org") == zoe
    assert directory.user_of("nobody@example.org") is None
    assert [service.id for service in directory.services()] == ["demo", "payments"]


def test_what_is_left_out_is_the_careful_choice(path: Path) -> None:
    demo = FileDirectory(path).service("demo")

    assert demo is not None
    assert (demo.ack, demo.when_peer_unreachable) == (Ack.REGION, PeerUnreachable.REFUSE)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "must|valid"),
        ("services: [", "line 1"),
        ("services: {}", "services: "),
        ("teams: []", "teams: no such field"),
        (GOOD.replace("ack:", "akc:"), "services.1.akc: no such field; did you mean 'ack'"),
        (GOOD.replace(OTHER_KEY, KEY), "services.1.routing_keys: holds a routing key that is used twice"),
        (GOOD.replace(KEY, "short"), "services.0.routing_keys.0: must have 32 printable"),
        (GOOD.replace("payments", "demo"), "two services have the id 'demo'"),
        (GOOD.replace("9" * 32, KEY), "services.1.retiring_keys: holds a routing key that is used twice"),
        (GOOD.replace("9" * 32, "short"), "services.1.retiring_keys.0.key: must have 32 printable"),
        (GOOD.replace("+00:00", ""), "services.1.retiring_keys.0.until: .*timezone"),
        (GOOD.replace("id: zoe", "id: ann"), "users: two users have the id 'ann'"),
        (GOOD.replace("Zoe@", "ANN@"), "users: two users have the email 'ann@example.org'"),
        (GOOD.replace("Zoe@example.org", "Zoe"), "users.0.email: "),
        (GOOD.replace("name: Zoe", "nmae: Zoe"), "users.0.nmae: no such field; did you mean 'name'"),
        (GOOD.replace("id: demo", "id: de/mo"), "services.0.id: "),
        (GOOD.replace("all-regions", "all"), "services.1.ack: "),
        (GOOD.replace("name: Demo", "name: Demo\n    name: Other"), "'name' stands twice"),
    ],
)
def test_a_fault_is_named_by_its_place_and_no_key_is_shown(path: Path, content: str, complaint: str) -> None:
    path.write_text(content, encoding="utf-8")

    with pytest.raises(ConfigError, match=complaint) as caught:
        FileDirectory(path)
    assert "directory.yaml" in str(caught.value)
    assert OTHER_KEY not in str(caught.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        FileDirectory(tmp_path / "none.yaml")


def test_a_change_is_seen_and_a_fault_leaves_the_last_good_content(path: Path) -> None:
    directory = FileDirectory(path)
    path.write_text(GOOD.replace("Demo", "Demonstration"), encoding="utf-8")
    directory._watched.look_again()
    changed = directory.service("demo")
    assert changed is not None
    assert changed.name == "Demonstration"

    path.write_text("services: 5", encoding="utf-8")
    directory._watched.look_again()
    assert directory.service("demo") == changed
    assert "directory.yaml: services: " in directory.problems[0]

    path.unlink()
    directory._watched.look_again()
    assert directory.service("demo") == changed
    assert "no such file" in directory.problems[0]

    path.write_text(GOOD, encoding="utf-8")
    directory._watched.look_again()
    assert directory.problems == []


# What is looked up ---------------------------------------------------------------------------------------------------

SOME_KEYS = ["k" * 32, "l" * 32]
SERVICES = st.sampled_from(["s", "t"]).flatmap(
    lambda id: st.none() | st.sets(st.sampled_from(SOME_KEYS)).map(
        lambda keys: Service(id, id, tuple(RoutingKey(hash_key(key)) for key in sorted(keys)))
    )
)  # fmt: skip
USERS = st.builds(Person, st.sampled_from(["u", "v"]), st.just("n"), st.sampled_from(["a@x", "A@x", "b@x"]))


def answers(view: View) -> list[object]:
    emails = [view.user_of(email) for email in ("a@x", "b@x")]
    return [*(view.service_of(key, 0) for key in SOME_KEYS), *emails, *view.lists()]


@given(st.lists(st.tuples(SERVICES | USERS, st.sampled_from(["s", "t", "u", "v"])), max_size=12))
def test_a_view_that_was_changed_answers_as_one_made_of_what_is_left(
    said: list[tuple[Service | Person | None, str]],
) -> None:
    changed, left = View(), dict[Name, DirectoryRecord]()
    for at_us, (body, id) in enumerate(said):
        kind = Kind.USER if isinstance(body, Person) or (body is None and id in "uv") else Kind.SERVICE
        record = DirectoryRecord(Name(kind, body.id if body else id), at_us, "a", body)
        changed.put(record)
        left[record.name] = record

    assert answers(changed) == answers(View(left.values()))


def test_of_two_that_claim_one_key_or_address_the_one_changed_last_has_it_until_it_gives_it_up() -> None:
    key = RoutingKey(hash_key(SOME_KEYS[0]))
    old, new = Service("z", "Z", (key,)), Service("y", "Y", (key,))
    view = View([DirectoryRecord(Name(Kind.SERVICE, "y"), 2, "a", new)])
    view.put(DirectoryRecord(Name(Kind.SERVICE, "z"), 1, "b", old))

    assert view.service_of(SOME_KEYS[0], 0) == new
    view.put(DirectoryRecord(Name(Kind.SERVICE, "y"), 3, "a", None))
    assert view.service_of(SOME_KEYS[0], 0) == old
