"""Nobody's region is broken by habit, and never the last one that serves."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.unit.ops.drills.conftest import LOCAL
from tocsin.ops.drills.guard import refusal, serving
from tocsin.topology import load_topology

REGIONS = ("eu-central-1", "eu-west-1")


def test_a_region_that_is_not_typed_out_is_not_broken() -> None:
    assert "type it out with --region" in refusal(None, REGIONS, serving=REGIONS)


def test_a_region_that_is_mistyped_is_not_broken() -> None:
    assert "did you mean 'eu-west-1'" in refusal("eu-west1", REGIONS, serving=REGIONS)


def test_the_last_region_that_serves_is_not_broken() -> None:
    assert "outage and no drill" in refusal("eu-west-1", REGIONS, serving=["eu-west-1"])
    assert "outage and no drill" in refusal("eu-west-1", REGIONS, serving=[])


def test_a_region_that_is_typed_out_while_a_peer_serves_may_be_broken() -> None:
    assert refusal("eu-west-1", REGIONS, serving=["eu-central-1"]) == ""


class Ready(BaseHTTPRequestHandler):
    """The admin port of a querier that is ready."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


async def test_a_region_serves_whose_querier_says_so() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Ready) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        region_a, region_b = load_topology(LOCAL).regions
        querier = region_a.querier.model_copy(update={"admin_port": server.server_address[1]})
        found = await serving([region_a.model_copy(update={"querier": querier}), region_b])
        server.shutdown()
    assert found == ["a"]
