"""How long does a client wait for an incident's page, in a store with a million entries?

A page is two reads over TLS, as a client makes them: the incident, then the newest of its log entries. One querier as
`tocsin run querier` runs it, one region. Each incident has `LIFE` entries, and each read is of another incident, drawn
at random. Measured in the same run, turn by turn, with the same incidents from the same sender:

    bare     an ASGI app that reads the same rows by SQL and answers with them as they lie there, in the same frame and
             from a thread of its own: it knows no tokens, and nobody can tell whether its answers are complete
    query    that SQL alone, in a loop without a server

One read at a time: then the time is that of the work, and not of waiting for others. What a querier answers in a second
to `CONNECTIONS` clients is told beside it. The ratio is that of the 99th percentiles, of the read that does worse.
"""

import asyncio
import itertools
import json
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks import bare
from benchmarks.intake_rate import write_directory
from benchmarks.measure import RECEIVED_US, Answer, Options, make_event, publish, quantile, scratch
from benchmarks.traffic import Place, Plan, http_request, median_figures, send, serving
from tocsin.core.entries import Entry
from tocsin.core.events import client_digest, request_body
from tocsin.core.ids import Parent, RequestKey, format_id
from tocsin.core.incidents import fold
from tocsin.core.progress import Coordinates, ProgressRow, Runs, SourceProgress
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.engines.tokens import Scope, TokenFile

ENTRIES: Final = 1_000_000
LIFE: Final = ("trigger",) * 18 + ("acknowledge", "resolve")
READS: Final = 3_000
ROUNDS: Final = 5
CONNECTIONS: Final = 16
TOKENS: Final = 100
STORE: Final = "blue.sqlite"
APART_US: Final = 50_000
"""Between two entries: so few of them share a second that no two share an id."""
TOGETHER: Final = 1_000
"""Incidents written together."""


def entries_of(host: int) -> list[Entry]:
    """The life of the alert of one host."""
    chance = random.Random(host)
    parent = Parent(f"service-{host % 20}", f"disk/db-{host}")
    entries = []
    for step, action in enumerate(LIFE):
        number = host * len(LIFE) + step
        received_us = RECEIVED_US + number * APART_US
        body = request_body(make_event(number, host, action), parent.dedup_key)
        temporal_id = received_us // 1_000_000 << 32 | chance.getrandbits(32)
        key = RequestKey(parent, temporal_id, client_digest(parent, body))
        entries.append(Entry(key, received_us, "bench", 1, action, body))
    return entries


async def fill(file: Path, incidents: int) -> list[int]:
    """Writes what a creator would have written; returns the incidents' ids."""
    store = EmbeddedStore(file)
    ids = []
    for start in range(0, incidents, TOGETHER):
        lives = [entries_of(host) for host in range(start, min(start + TOGETHER, incidents))]
        assert not await store.write([entry for life in lives for entry in life])
        await asyncio.gather(*(store.put_incidents(life[0].key.parent, fold(life), 1) for life in lives))
        ids += [life[0].key.id for life in lives]
    now_us = time.time_ns() // 1000
    for number in range(4):
        done = SourceProgress(Coordinates("c", "requests", "i", number), Runs(incidents), None, incidents, now_us)
        await store.save_progress(ProgressRow(number, 1, clean=False, sources={"bench": done}))
    await store.close()
    return ids


def make_tokens(file: Path) -> list[str]:
    """Tokens, so many that none of them reaches its rate."""
    tokens, now_us = TokenFile(file), time.time_ns() // 1000
    return [tokens.create(f"bench {n}", Scope.READ, now_us=now_us)[1] for n in range(TOKENS)]


def reads_of(ids: list[int], tokens: list[str]) -> dict[str, list[bytes]]:
    """The requests of each kind of read, by the tokens in turn."""
    reads: dict[str, list[bytes]] = {"incident": [], "entries": []}
    for id, token in zip(ids, itertools.cycle(tokens), strict=False):
        headers = {"Authorization": f"Token token={token}", "Accept": "application/vnd.pagerduty+json;version=2"}
        reads["incident"].append(http_request("GET", f"/incidents/{format_id(id)}", None, headers))
        reads["entries"].append(http_request("GET", f"/incidents/{format_id(id)}/log_entries?limit=25", None, headers))
    return reads


def query_ms(file: Path, ids: list[int]) -> dict[str, float]:
    """Milliseconds of the bare statements alone."""
    figures: dict[str, float] = {}
    with bare.reading(file) as connection:
        for read, of in (("incident", ()), ("entries", ("log_entries",))):
            times_ms = []
            for id in ids:
                began = time.perf_counter()
                assert bare.rows_of(connection, id, *of)
                times_ms.append(1000 * (time.perf_counter() - began))
            figures |= {f"{read}_p50_ms": quantile(times_ms, 0.5), f"{read}_p99_ms": quantile(times_ms, 0.99)}
    return figures


def measure_server(
    place: Place, url: str, reads: Mapping[str, Sequence[bytes]]
) -> tuple[dict[str, float], list[bytes]]:
    """Figures of one server, and its last answer to each kind of read."""
    figures: dict[str, float] = {}
    last = []
    for read, requests in reads.items():
        one = send(Plan(url, place.ca_file, requests, 1, 200))
        many = send(Plan(url, place.ca_file, requests, CONNECTIONS, 200))
        took = one.figures()
        figures |= {f"{read}_p50_ms": took["p50_ms"], f"{read}_p99_ms": took["p99_ms"]}
        figures |= {f"{read}_per_s": many.per_s, f"{read}_sender_cores": many.sender_cores}
        last.append(one.last_body)
    return figures, last


def measure(incidents: int, count: int, rounds: int) -> dict[str, dict[str, float]]:
    """Figures by what was measured."""
    found: dict[str, list[dict[str, float]]] = {"querier": [], "bare": [], "query": []}
    with scratch() as folder:
        place = Place(folder)
        write_directory(folder / "directory.yaml")
        tokens = make_tokens(folder / "tokens.json")
        ids = asyncio.run(fill(folder / STORE, incidents))
        chance = random.Random(7)
        with serving(place, place.role("querier")) as querier, serving(place, place.bare("querier")) as plain:
            for _ in range(rounds):
                drawn = chance.choices(ids, k=count)
                reads = reads_of(drawn, tokens)
                figures, (incident, entries) = measure_server(place, querier, reads)
                found["querier"].append(figures)
                assert json.loads(incident)["incident"]["status"] == "resolved"
                assert len(json.loads(entries)["log_entries"]) == len(LIFE)
                figures, (_, entries) = measure_server(place, plain, reads)
                found["bare"].append(figures)
                assert len(json.loads(entries)) == len(LIFE)
                found["query"].append(query_ms(folder / STORE, drawn))
    return {name: median_figures(rounds_of) for name, rounds_of in found.items()}


def main() -> None:
    options = Options.read()
    quick = options.quick
    incidents = (ENTRIES // 500 if quick else ENTRIES) // len(LIFE)
    count = 50 if quick else READS
    rounds = 1 if quick else ROUNDS
    found = measure(incidents, count, rounds)
    ours, plain = found["querier"], found["bare"]
    ratios = {name: ours[name] / plain[name] for name in ours if name.endswith("_ms")}
    publish(
        "read_latency",
        Answer(
            question="How long does a client wait for an incident's page, in a store with a million entries?",
            ours=ours,
            peers={"bare app that reads the rows": plain, "the query alone": found["query"]},
            ratio=max(ratios["incident_p99_ms"], ratios["entries_p99_ms"]),
            ratio_of="p99 of a read over TLS to that of a bare app with the raw query",
            better="lower",
            floor=3.0,
            aim=1.5,
            sizes={
                "entries": incidents * len(LIFE),
                "incidents": incidents,
                "entries_of_an_incident": len(LIFE),
                "reads": count,
                "rounds": rounds,
            },
            details={f"{name}_ratio": ratio for name, ratio in ratios.items()},
        ),
        options,
    )


if __name__ == "__main__":
    main()
