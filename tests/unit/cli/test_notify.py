"""`tocsin notify`: a test page by each method, what to do about one that fails, a webhook's secret, the inbox."""

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from standardwebhooks import Webhook
from typer.testing import Result

from tests.unit.cli.conftest import LOCAL
from tests.unit.cli.premises import Premises
from tocsin.engines.topics import make_topics
from tocsin.roles.delivery import signing
from tocsin.topology import load_topology

Run = Callable[..., Result]
BOX = {"id": "box", "kind": "inbox", "address": "desk"}
HOOK = {"id": "hook", "kind": "webhook", "address": "https://localhost:1/T0KEN"}
MAIL = {"id": "mail", "kind": "email", "address": "ann@example.org"}
PUSH = {"id": "push", "kind": "apprise", "address": "gotify://localhost:1/abcdefghijkl"}
SERVICES = [{"id": "s", "name": "S", "routing_keys": ["c" * 32]}]
USERS: list[dict[str, Any]] = [
    {"id": "ann", "name": "Ann", "methods": [BOX, {**MAIL, "verified": False}]},
    {"id": "ben", "name": "Ben", "methods": [HOOK, MAIL, PUSH]},
    {"id": "mute", "name": "Mute", "methods": [{**BOX, "blocked": True}]},
]


@pytest.fixture(autouse=True)
def directory(premises: Premises) -> None:
    premises.data_dir.mkdir(parents=True)
    users = [{**user, "email": f"{user['id']}@example.org"} for user in USERS]
    text = yaml.safe_dump({"services": SERVICES, "users": users})
    (premises.data_dir / "directory.yaml").write_text(text, encoding="utf-8")
    for region in load_topology(LOCAL).regions:
        premises.in_log(region.name, lambda log, region=region: make_topics(log, region))


def test_a_test_page_goes_out_by_each_usable_method_and_says_that_it_is_one(run: Run) -> None:
    result = run("notify", "test", "ann", "--json")
    assert result.exit_code == 0, result.stderr
    [row] = json.loads(result.stdout)
    assert (row["method"], row["outcome"], row["advice"]) == ("box", "delivered", "")

    [page] = json.loads(run("notify", "inbox", "ann", "--json").stdout)
    assert "This is a test page" in page["text"]
    assert (page["user"], page["region"], page["address"]) == ("ann", "a", "desk")
    assert json.loads(run("notify", "inbox", "ben", "--json").stdout) == []
    assert "This is a test page" in run("notify", "inbox", "--region", "a").stdout
    assert run("notify", "inbox", "--region", "b").stdout == "nothing is in the inbox\n"


def test_of_each_method_that_fails_is_told_what_to_do_and_its_address_only_as_far_as_it_is_no_secret(run: Run) -> None:
    result = run("notify", "test", "ben")
    assert result.exit_code == 1
    assert "hook: where users are trusted with that, set delivery.webhooks.allow_private" in result.stderr
    assert "mail: name a mail server in the region's file: delivery.smtp" in result.stderr
    assert "push: where users are trusted with that, set delivery.apprise.allow_private" in result.stderr
    assert "T0KEN" not in result.stdout + result.stderr


def test_a_mail_server_that_is_away_is_told_with_what_to_look_at(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_REGION__DELIVERY__SMTP", "{server: 'localhost:1', sender: tocsin@example.org}")
    result = run("notify", "test", "ann", "--method", "mail")
    assert result.exit_code == 1
    assert "no connection" in result.stdout
    assert "mail: see whether delivery.smtp in the region's file is right" in result.stderr


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("an",), 3, "there is no user 'an'; did you mean 'ann'?"),
        (("ann", "--method", "bx"), 1, "ann has no method 'bx' (it has: box, mail); did you mean 'box'?"),
        (("mute", "--method", "box"), 1, "mute asked to be left in peace by 'box'"),
        (("mute",), 1, "mute has no method that could be used"),
        (("ann", "--region", "c"), 1, "'c'"),
    ],
)
def test_who_cannot_be_tried_is_told_why(run: Run, words: tuple[str, ...], status: int, told: str) -> None:
    result = run("notify", "test", *words)
    assert result.exit_code == status
    assert told in result.stderr


def test_a_receivers_own_library_takes_the_secret_and_what_is_signed_by_it(run: Run, premises: Premises) -> None:
    secret = run("notify", "secret", "ben", "hook").stdout.strip()
    assert json.loads(run("notify", "secret", "ben", "hook", "--json").stdout)["secret"] == secret

    key = signing.load_key(premises.data_dir / "paging.key")
    body, now_s = b'{"type": "page"}', int(dt.datetime.now(dt.UTC).timestamp())
    headers = signing.headers(signing.secret_of(key, "ben", "hook"), "a-1-1-ben", now_s, body)
    assert Webhook(secret).verify(body, headers) == {"type": "page"}

    shown = run("audit", "ls", "--action", "secret_shown").stdout
    assert "user=ben method=hook" in shown
    assert secret not in shown


def test_only_a_webhook_has_a_secret(run: Run) -> None:
    result = run("notify", "secret", "ann", "box")
    assert result.exit_code == 1
    assert "only webhooks are signed" in result.stderr
