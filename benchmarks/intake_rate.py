"""How many events a second does one intake process take over TLS, and how long does each wait for its answer?

One intake as `tocsin run intake` runs it, one region, no peers, events of twenty services. Its log is the embedded one,
which nobody reads meanwhile. Measured in the same run, turn by turn, with the same events from the same sender:

    bare    an ASGI app that appends each body to the same log as it is and answers 202, in the same frame

Both are asked over `CONNECTIONS` connections at a time, and over one: with many the rate is told and the time is mostly
that of waiting for each other; with one the time is that of the work. The ratio is of the rates.
"""

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks.measure import Answer, Options, make_requests, publish, scratch
from benchmarks.traffic import Place, Plan, http_request, median_figures, send, serving
from tocsin.engines.embedded.log import EmbeddedLog

EVENTS: Final = 12_000
ALONE: Final = 1_500
CONNECTIONS: Final = 32
ROUNDS: Final = 5
SERVICES: Final = 20


def write_directory(file: Path) -> None:
    """Services with no rate to speak of: what is measured is the intake, not its patience."""
    services = [
        {"id": f"service-{n}", "name": f"Service {n}", "routing_keys": [f"{n:032}"], "events_per_min_max": 10**9}
        for n in range(SERVICES)
    ]
    file.write_text(yaml.safe_dump({"services": services}), encoding="utf-8")


def make_posts(count: int) -> list[bytes]:
    """Requests with events of some hundred bytes each, each with a routing key and a dedup key."""
    posts = []
    for request in make_requests(count, parents=max(SERVICES, count // 8), services=SERVICES):
        service = int(request.key.parent.service.removeprefix("service-"))
        event = json.loads(request.body) | {"routing_key": f"{service:032}"}
        posts.append(http_request("POST", "/v2/enqueue", json.dumps(event).encode()))
    return posts


async def records_in(file: Path) -> int:
    """How many events the log has."""
    log = EmbeddedLog(file)
    count = 0
    for number in range(4):
        start, end = await log.bounds("requests", number)
        while start < end:
            fetched = await log.fetch("requests", number, start, records_max=5_000, bytes_max=10**8, wait_s=0.0)
            count += sum(record.key is not None for _, record in fetched.records)  # a tick has no key
            start = fetched.next_offset
    await log.close()
    return count


def measure(posts: list[bytes], alone: int, rounds: int) -> dict[str, dict[str, float]]:
    """Figures of both, by name: `per_s`, `p50_ms`, `p99_ms` of many connections and of one."""
    found: dict[str, list[dict[str, float]]] = {"intake": [], "bare": []}
    with scratch() as folder:
        place = Place(folder)
        write_directory(folder / "directory.yaml")
        with serving(place, place.role("intake")) as intake, serving(place, place.bare("intake")) as bare:
            for _ in range(rounds):
                for name, url in (("intake", intake), ("bare", bare)):
                    many = send(Plan(url, place.ca_file, posts, CONNECTIONS, 202))
                    one = send(Plan(url, place.ca_file, posts[:alone], 1, 202))
                    assert json.loads(many.last_body)["status"] == "success"
                    figures = many.figures() | {"sender_cores": many.sender_cores}
                    found[name].append(figures | {f"one_{key}": value for key, value in one.figures().items()})
        accepted = 2 * rounds * (len(posts) + alone)
        assert asyncio.run(records_in(folder / "log.sqlite")) == accepted, "the log has what was accepted, once"
    return {name: median_figures(figures) for name, figures in found.items()}


def main() -> None:
    options = Options.read()
    quick = options.quick
    posts = make_posts(400 if quick else EVENTS)
    alone = 50 if quick else ALONE
    rounds = 1 if quick else ROUNDS
    found = measure(posts, alone, rounds)
    ours, bare = found["intake"], found["bare"]
    details: dict[str, Any] = {
        f"{name}_ratio": ours[name] / bare[name] for name in ("p50_ms", "p99_ms", "one_p50_ms", "one_p99_ms")
    }
    publish(
        "intake_rate",
        Answer(
            question="How many events a second does an intake take over TLS, and how long does each wait?",
            ours=ours,
            peers={"bare app that appends": bare},
            ratio=ours["per_s"] / bare["per_s"],
            ratio_of="events a second over TLS to those of a bare app that only appends",
            better="higher",
            floor=0.5,
            aim=0.8,
            sizes={"events": len(posts), "connections": CONNECTIONS, "rounds": rounds, "post_bytes": len(posts[0])},
            details=details,
        ),
        options,
    )


if __name__ == "__main__":
    main()
