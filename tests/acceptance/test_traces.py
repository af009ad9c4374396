"""One event's trace, from the door of one region to the mail that the other one sends. It is drawn to build/traces."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest
import pytest_asyncio
import trustme
import yaml

from tests.acceptance.conftest import REPOSITORY, environment
from tests.collector import Collector, Seen, collecting
from tests.unit.roles.delivery.mail_server import MailServer, serving
from tests.waterfall import waterfall
from tocsin.ops.supervisor import LocalSet
from tocsin.settings import Settings

SEEN_S_MAX = 45.0
pytestmark = pytest.mark.timeout(180)  # two regions start, and spans are sent every other second
KEY = "d" * 32
TRACE, SENDER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PAGING = {"pace_s": 0.5, "look_ahead_s": 0.05, "backstop_s": 3.0, "silence_s": 2.0, "keep_every_s": 0.2}
DIRECTORY = {
    "services": [{"id": "demo", "name": "Demo", "routing_keys": [KEY], "responders": ["ann"]}],
    "users": [
        {
            "id": "ann",
            "name": "Ann",
            "email": "ann@example.org",
            "methods": [{"id": "mail", "kind": "email", "address": "ann@example.org"}],
            "rules": [{"method": "mail"}],
        }
    ],
}


class Ground(NamedTuple):
    """Two regions that send what they do to one collector, and mails to one server."""

    local: LocalSet
    client: httpx2.AsyncClient
    collector: Collector
    mails: MailServer

    async def trigger(self, dedup_key: str, traceparent: str | None) -> None:
        """Sends an event to region a."""
        event = {
            "routing_key": KEY,
            "event_action": "trigger",
            "dedup_key": dedup_key,
            "payload": {"summary": f"{dedup_key} is down", "source": "test", "severity": "critical"},
        }
        headers = {"traceparent": traceparent} if traceparent else {}
        answer = await self.client.post(f"{self.local.intake_url('a')}/v2/enqueue", json=event, headers=headers)
        assert answer.status_code == 202, answer.text


@pytest_asyncio.fixture
async def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ground]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "mail-ca.pem")
    with collecting() as collector:
        async with serving(authority, "starttls") as mails:
            smtp = {
                "server": f"localhost:{mails.port}",
                "ca_file": str(tmp_path / "mail-ca.pem"),
                "sender": "tocsin@example.org",
            }
            for name, value in environment(tmp_path).items():
                monkeypatch.setenv(name, value)
            monkeypatch.setenv("TOCSIN_REGION__PAGING", json.dumps(PAGING))
            monkeypatch.setenv("TOCSIN_REGION__DELIVERY__SMTP", json.dumps(smtp))
            monkeypatch.setenv("TOCSIN_OTLP_ENDPOINT", collector.url)
            monkeypatch.setenv("TOCSIN_OTLP_HEADERS", "x-tenant=incidents, x-key=s3cret")
            monkeypatch.setenv("TOCSIN_TRACE_RATIO", "0")
            settings = Settings.load(regions_dir=REPOSITORY / "regions" / "local")
            directory = settings.path(settings.topology().region("a").directory)
            directory.parent.mkdir(parents=True)
            directory.write_text(yaml.safe_dump(DIRECTORY), encoding="utf-8")
            local = LocalSet(settings)
            await local.start()
            try:
                ca_file = settings.ca_file(settings.topology().region("a"))
                async with httpx2.AsyncClient(verify=ssl.create_default_context(cafile=ca_file), timeout=10) as client:
                    yield Ground(local, client, collector, mails)
            finally:
                await local.stop()


async def test_a_trace_leads_from_the_door_of_one_region_to_the_mail_of_the_other(ground: Ground) -> None:
    await ground.local.kill("a", "notifier", hold=True)
    await ground.trigger("quiet", None)
    await ground.trigger("db-1", f"00-{TRACE}-{SENDER}-01")

    spans = await seen(ground.collector, {("call provider", "b"), ("store set", "a"), ("POST /v2/enqueue", "a")})

    picture = REPOSITORY / "build" / "traces" / "door-to-mail.svg"
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_text(waterfall(spans), encoding="utf-8")
    door, stored_a, stored_b, page, call = (
        only(spans, name, region)
        for name, region in (
            ("POST /v2/enqueue", "a"),
            ("store set", "a"),
            ("store set", "b"),
            ("page", "b"),
            ("call provider", "b"),
        )
    )
    assert len(spans) == 5
    assert door.parent == SENDER
    assert (stored_a.parent, stored_b.parent) == (door.id, door.id)
    assert (page.parent, call.parent) == (stored_b.id, page.id)
    assert [span.role for span in (door, stored_a, stored_b, page, call)] == [
        "intake",
        "creator",
        "creator",
        "notifier",
        "notifier",
    ]
    assert door.start_ns <= stored_b.start_ns <= page.start_ns <= call.start_ns <= call.end_ns <= page.end_ns
    assert page.attributes["tocsin.page.outcome"] == "delivered"
    assert {mail["To"] for mail in ground.mails.mails} == {"ann@example.org"}
    assert {span.trace for span in ground.collector.spans} == {TRACE}, "nobody asked for the other one"
    assert all(headers["x-key"] == "s3cret" for headers in ground.collector.headers)


async def seen(collector: Collector, wanted: set[tuple[str, str]]) -> list[Seen]:
    """The spans of the trace, once these have come: exporters send them every other second."""
    async with asyncio.timeout(SEEN_S_MAX):
        while not wanted <= {(span.name, span.region) for span in collector.trace(TRACE)}:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.1)
    await asyncio.sleep(3)  # for what would come beyond it
    return collector.trace(TRACE)


def only(spans: list[Seen], name: str, region: str) -> Seen:
    (found,) = (span for span in spans if (span.name, span.region) == (name, region))
    return found
