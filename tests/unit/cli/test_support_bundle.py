"""`tocsin support-bundle`: what is in it, and that no secret is, wherever it was planted."""

import base64
import json
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
import yaml
from typer.testing import Result

from tests.requests_made import request
from tests.unit.cli.premises import Premises
from tocsin.core.events import entry_of
from tocsin.engines.audit import AuditTrail, Deed

Run = Callable[..., Result]
SECRETS: Final = {
    "token of tocsin up": "tocsin_00112233445566aa_" + "5e" * 32,
    "token of a variable": "tocsin_99112233445566aa_" + "6f" * 32,
    "metrics token": "metrics/Wörd+1",
    "routing key": "R0ut1ngK3yOfTheDemoServiceXYZ0a1",
    "another routing key": "".join(map(str, range(10))) * 3 + "!~",
    "mail password": 'm"ail Pä%ss/1',
    "database password": "cass4ndra-pw",
    "webhook secret": "whsec_" + base64.b64encode(b"q" * 32).decode(),
    "chat token": "JHMHI8qBe7bk2ZwO5U711o3dV_js",
    "webhook path": "B0/shh-path-7",
    "user of a URL": "kimuser:kimpw9",
    "dead-man's switch": "8e8b0a52-9b0e-4d0c-9a0e-3c1b3a1a4c11",
}
KEY = bytes(range(120, 152))
"""The key that webhooks' secrets are derived from."""
BY_CONTEXT: Final = ("database password", "user of a URL")
"""These are in no file here: a name beside it, or the URL that it is in, gives each away."""
LEAKY = " and ".join(secret for what, secret in SECRETS.items() if what not in BY_CONTEXT)
"""What an unlucky log line, reason or title says."""


class _Leaky(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        reasons = {"role": "intake", "ready": False, "reasons": [LEAKY, f"http://{SECRETS['user of a URL']}@db:9042/"]}
        body = json.dumps(reasons).encode() if self.path == "/health/ready" else f'up{{x="{LEAKY}"}} 1\n'.encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def leaky_role() -> Iterator[str]:
    """The address of a role's admin port that tells all it knows."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Leaky)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def planted(premises: Premises, tmp_path: Path, leaky_role: str, monkeypatch: pytest.MonkeyPatch) -> Premises:
    """Two regions that ran, with secrets wherever they belong, and wherever they do not."""
    premises.make()
    data = premises.data_dir
    monkeypatch.setenv("TOCSIN_TOKEN", SECRETS["token of a variable"])
    monkeypatch.setenv("TOCSIN_METRICS_TOKEN", SECRETS["metrics token"])
    smtp = {"server": "mail.example.org:587", "sender": "t@example.org"}
    login = {"by": "password", "username": "tocsin", "password_file": "mail.password"}
    monkeypatch.setenv("TOCSIN_REGION__DELIVERY__SMTP", json.dumps({**smtp, "login": login}))
    (data / "mail.password").write_text(SECRETS["mail password"] + "\n", encoding="utf-8")
    (data / "paging.key").write_bytes(KEY)
    keys = [SECRETS["routing key"], SECRETS["another routing key"]]
    methods = [
        {"id": "chat", "kind": "apprise", "address": f"discord://4174216298/{SECRETS['chat token']}"},
        {"id": "hook", "kind": "webhook", "address": f"https://hooks.example.org/{SECRETS['webhook path']}"},
    ]
    directory = {
        "services": [{"id": "demo", "name": "Demo", "routing_keys": keys, "responders": ["kim"]}],
        "users": [{"id": "kim", "name": "Kim", "email": "kim@example.org", "methods": methods}],
    }
    (data / "directory.yaml").write_text(yaml.safe_dump(directory), encoding="utf-8")
    up = {
        "regions": [{"name": "a", "admin_urls": {"intake": leaky_role}}],
        "routing_key": SECRETS["routing key"],
        "token": SECRETS["token of tocsin up"],
    }
    (tmp_path / "up.json").write_text(json.dumps(up), encoding="utf-8")
    (data / "logs").mkdir()
    record = {"action": "x", "message": LEAKY, "cassandra_password": SECRETS["database password"], "url": "https://a.b"}
    lines = [
        json.dumps(record),
        json.dumps(record, ensure_ascii=False),
        LEAKY,
        quote(LEAKY, safe=""),
        f"error: https://{SECRETS['user of a URL']}@example.org/ password={SECRETS['database password']}",
        f"key {KEY.hex()} {base64.b64encode(KEY).decode()}",
        f"basic {base64.b64encode(SECRETS['mail password'].encode()).decode()}",
    ]

    (data / "logs" / "a-intake.log").write_text("\n".join(lines), encoding="utf-8")
    AuditTrail(data / "a" / "audit.log", lambda: 1).changed(Deed.DIRECTORY, by="kim", record=LEAKY.partition(" ")[0])
    opening = request("leak", summary=f"failed: {SECRETS['routing key']} {SECRETS['mail password']}")
    premises.in_store("a", lambda store: store.write([entry_of(opening)]))
    return premises


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {one.name: file.read() for one in archive if (file := archive.extractfile(one)) is not None}


def spellings(secret: str) -> list[bytes]:
    raw = secret.encode()
    return [
        raw,
        quote(secret).encode(),
        quote(secret, safe="").encode(),
        json.dumps(secret)[1:-1].encode(),
        base64.b64encode(raw),
        raw.hex().encode(),
    ]


@pytest.fixture
def made(run: Run, planted: Premises, tmp_path: Path) -> tuple[Result, dict[str, bytes]]:
    del planted
    result = run("support-bundle", "--out", str(tmp_path / "out.tar.gz"), "--json")
    assert result.exit_code == 0, result.output
    return result, members(tmp_path / "out.tar.gz")


def test_none_of_the_secrets_is_in_any_member(made: tuple[Result, dict[str, bytes]]) -> None:
    result, found = made
    assert {"tocsin-support/logs/a-intake.log", "tocsin-support/roles/a-intake/metrics.txt"} <= {*found}, result.output
    leaks = [
        (what, name)
        for name, content in (*found.items(), ("what is told", result.output.encode()))
        for what, secret in SECRETS.items()
        for spelt in spellings(secret)
        if spelt in content or spelt in name.encode()
    ]
    assert leaks == []
    for spelt in (KEY, KEY.hex().encode(), base64.b64encode(KEY)):
        assert not [name for name, content in found.items() if spelt in content]


def test_what_an_engineer_needs_is_there(made: tuple[Result, dict[str, bytes]], tmp_path: Path) -> None:
    result, found = made
    names = {name.removeprefix("tocsin-support/") for name in found}
    assert {"status.txt", "status.json", "versions.json", "ledger.json", "manifest.json"} <= names
    assert {
        f"{kind}/region-{name}.{ext}" for name in "ab" for kind, ext in (("progress", "json"), ("audit", "log"))
    } <= names
    manifest: dict[str, Any] = json.loads(found["tocsin-support/manifest.json"])
    assert {*manifest["members"]} | {"manifest.json"} == names
    told = json.loads(result.stdout)
    assert told["members"] == manifest["members"]
    assert json.loads(found["tocsin-support/versions.json"])["packages"]["uvicorn"]
    assert b"1. Is it still happening" in found["tocsin-support/status.txt"]
    record = json.loads(found["tocsin-support/logs/a-intake.log"].splitlines()[0])
    assert (record["action"], record["cassandra_password"], record["url"]) == ("x", "[redacted]", "https://a.b")
    assert (tmp_path / "out.tar.gz").stat().st_mode & 0o077 == 0


def test_it_says_first_what_it_will_write_and_then_what_was_out_of_reach(
    run: Run, premises: Premises, tmp_path: Path
) -> None:
    result = run("support-bundle", "--out", str(tmp_path / "out.tar.gz"))
    assert result.exit_code == 0
    said = result.stderr.splitlines()
    assert said[0].startswith(f"will write {tmp_path}/out.tar.gz")
    assert [line for line in said if line.startswith("logs: out of reach: ")]
    assert "status: taken in" in result.stderr
    assert not premises.data_dir.exists()


def test_it_overwrites_nothing(run: Run, premises: Premises, tmp_path: Path) -> None:
    del premises
    there = tmp_path / "there.tar.gz"
    there.write_text("mine", encoding="utf-8")
    result = run("support-bundle", "--out", str(there))
    assert result.exit_code == 1
    assert "name another file with --out" in result.stderr
    assert there.read_text(encoding="utf-8") == "mine"
