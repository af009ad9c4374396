"""Region A's intake is killed while all clients send to it: what each of them was told is true, and nothing is lost."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event

import pytest

from tests.acceptance.clients.needed import missing, skip_if
from tests.acceptance.clients.players import CLIENTS, EVENTS, TITLE, Played, Players, service_of
from tests.acceptance.clients.regions import Regions
from tests.acceptance.conftest import until

HALF = 60
"""So many events of each client are taken before the kill, and as many after it at least."""
HALF_S_MAX = 40.0
pytestmark = pytest.mark.timeout(120)  # the first of these tests waits for the play


@pytest.fixture(scope="module")
def plays(regions: Regions, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Played]]:
    """What each client did, by name: all at once, the kill in the midst."""
    clients = [client for client in CLIENTS if not missing(client)]
    plays = {client: Played(service_of(client)) for client in clients}
    is_over = Event()
    with ExitStack() as stack, ThreadPoolExecutor(len(clients)) as threads:
        players = Players(regions, tmp_path_factory.mktemp("players"), stack, clients)
        playing = [threads.submit(players.play, client, played, is_over) for client, played in plays.items()]

        def have_played(so_many: dict[str, int]) -> bool:
            ended = [play for play in playing if play.done()]
            return bool(ended) or all(plays[client].accepted >= number for client, number in so_many.items())

        try:
            until("all are at play", lambda: have_played(dict.fromkeys(plays, HALF)), HALF_S_MAX)
            intake = regions.process("intake", "a")
            os.kill(intake, signal.SIGKILL)
            at_kill = {client: played.accepted for client, played in plays.items()}
            goal = {client: number + HALF for client, number in at_kill.items()}
            until("all play on", lambda: have_played(goal), HALF_S_MAX)
        finally:
            is_over.set()
        for play in playing:
            play.result()
        assert regions.process("intake", "a") != intake
        yield plays


@pytest.mark.parametrize("client", CLIENTS)
def test_nothing_is_lost(regions: Regions, plays: dict[str, Played], client: str) -> None:
    skip_if(missing(client))
    played = plays[client]
    assert played.accepted >= EVENTS

    shown = regions.until_both_show(
        "each alert as one incident that is resolved",
        played.service,
        lambda found: (
            sorted(incident.incident_key for incident in found) == sorted(played.keys)
            and {incident.status for incident in found} == {"resolved"}
        ),
        of=lambda incident: TITLE in incident.title,
    )
    # An event whose answer the kill took away may be there twice; the producer's never is, since it gave it an id.
    again = {"producer": 0, "alertmanager v2": played.failed, "alertmanager webhook": played.failed}.get(client, 1)
    assert 0 <= sum(incident.entries for incident in shown) - played.accepted <= again


def test_who_tries_again_by_itself_and_who_needs_a_caller_that_does(plays: dict[str, Played]) -> None:
    skip_if(missing("pdjs") or missing("alertmanager"))
    assert {client for client, played in plays.items() if played.failed} == {
        "pdjs",
        "alertmanager v2",
        "alertmanager webhook",
    }


def test_the_producer_goes_to_the_other_region_meanwhile_and_its_ids_stay(
    regions: Regions, plays: dict[str, Played]
) -> None:
    played = plays["producer"]
    assert played.intakes == {regions.intake("a"), regions.intake("b")}
    assert {incident.incident_key: incident.id for incident in regions.shown("b", played.service)} == played.ids
