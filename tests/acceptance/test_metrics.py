"""Running regions show every metric that there is: none is dead, and no bound is out of sight."""

import asyncio
import ssl
import time

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.conftest import REPOSITORY
from tests.requests_made import invalid_request, request
from tocsin.core.ids import partition_of
from tocsin.core.requests import encode_request
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.ops.premises import DEMO_SERVICE
from tocsin.ops.supervisor import LocalSet
from tocsin.settings import Settings
from tocsin.telemetry import Bound, Counter, Gauge, Histogram, prometheus_name
from tocsin.topology import REQUESTS

SHOWN_S_MAX = 20.0
WITHOUT_A_NUMBER = {Bound.STATEMENTS, Bound.PAGER_INBOX, Bound.PAGES, Bound.WORDS}
Shown = dict[str, list[dict[str, str]]]
"""Name of a metric to the labels of all that it shows."""


ELSEWHERE = {Gauge.CAPACITY, Gauge.SYNTHETIC_AGE_S}
"""What takes a backlog, or a watcher outside, to be shown: their own tests see to them."""
SHOWN = [metric for metric in (*Counter, *Gauge, *Histogram) if metric not in ELSEWHERE]


def family_of(metric: Counter | Gauge | Histogram) -> str:
    """As Prometheus' own parser names it."""
    return prometheus_name(metric).removesuffix("_total")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """What the roles of region a show once something of everything has happened there."""
    settings = Settings.load(
        regions_dir=REPOSITORY / "regions" / "local", data_dir=tmp_path_factory.mktemp("metrics"), faults_file=None
    )
    return asyncio.run(run_and_look(settings))


async def run_and_look(settings: Settings) -> Shown:
    local = LocalSet(settings)
    await local.start()
    try:
        await happen_at_the_doors(local, settings)
        await happen_in_the_log(settings)
        async with httpx2.AsyncClient() as client:
            names = {family_of(metric) for metric in SHOWN}
            deadline_s = time.monotonic() + SHOWN_S_MAX
            while not names <= (found := await look(local, client)).keys() and time.monotonic() < deadline_s:  # noqa: ASYNC110 - other processes set no event
                await asyncio.sleep(0.2)
            return found
    finally:
        await local.stop()


async def happen_at_the_doors(local: LocalSet, settings: Settings) -> None:
    ca_file = settings.ca_file(settings.topology().region("a"))
    payload = {"summary": "disk full", "source": "db-7", "severity": "critical"}
    event = {
        "routing_key": local.routing_keys[DEMO_SERVICE],
        "event_action": "trigger",
        "dedup_key": "k",
        "payload": payload,
    }
    async with httpx2.AsyncClient(verify=ssl.create_default_context(cafile=ca_file)) as client:
        for body, status in ((event, 202), ({}, 400)):
            answer = await client.post(f"{local.intake_url('a')}/v2/enqueue", json=body)
            assert answer.status_code == status
        assert (await client.get(f"{local.query_url('a')}/incidents")).status_code == 401


async def happen_in_the_log(settings: Settings) -> None:
    """Puts into a region's log what no intake would: a request that nobody can store, and two with one id."""
    region = settings.topology().region("a")
    log = EmbeddedLog(settings.path(region.files["log.path"]))
    first, second = request(), request(action="acknowledge")
    twin = second._replace(key=second.key._replace(id=first.key.id))
    for one in (first, twin, invalid_request()):
        await log.append(REQUESTS, partition_of(one.key.parent, region.partitions), [encode_request(one)])
    await log.close()


async def look(local: LocalSet, client: httpx2.AsyncClient) -> Shown:
    found: Shown = {}
    for region, role in local.processes:
        if region != "a":
            continue
        text = (await client.get(f"{local.admin_url('a', role)}/metrics")).text
        for family in text_string_to_metric_families(text):
            found.setdefault(family.name, []).extend(sample.labels for sample in family.samples)
    return found


@pytest.mark.parametrize("metric", SHOWN, ids=lambda metric: metric.value.name)
def test_every_metric_of_the_table_is_shown(shown: Shown, metric: Counter | Gauge | Histogram) -> None:
    assert shown.get(family_of(metric))


@pytest.mark.parametrize("what", Bound)
def test_every_bound_is_shown_with_how_much_of_it_is_used(shown: Shown, what: Bound) -> None:
    assert what in {labels["bound"] for labels in shown[family_of(Gauge.USED)]}
    assert (what in {labels["bound"] for labels in shown[family_of(Gauge.MAX)]}) == (what not in WITHOUT_A_NUMBER)


def test_labels_come_from_small_sets(shown: Shown) -> None:
    names = {name for labels in (one for some in shown.values() for one in some) for name in labels}
    assert names == {
        *(
            "bound",
            "kind",
            "le",
            "origin",
            "outcome",
            "partition",
            "peer",
            "region",
            "role",
            "source",
            "stack",
            "stage",
        ),
        *("state", "status", "topic", "verdict", "what", "why", "word"),
    }
