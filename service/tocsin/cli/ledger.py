"""`tocsin ledger`: what the regions say about requests they could not store, and why a request is where it is."""

import asyncio
from typing import Annotated, Any, Final

import typer

from tocsin.cli import output
from tocsin.cli.sight import Sight, now_us, sight, when
from tocsin.core.ids import RequestKey, format_id
from tocsin.ops import explain as explaining
from tocsin.ops.ledger import Ledgers
from tocsin.ops.locate import Located, gather
from tocsin.settings import Settings

app = typer.Typer(no_args_is_help=True, help="What the regions say about requests they could not store.")

Key = Annotated[str, typer.Argument(metavar="KEY", help="The printed request key, 0x<16 hex>.<12 hex>, from intake.")]
ROWS_MAX: Final = 10_000


@app.callback()
def ledger() -> None:
    """What the regions say about requests they could not store, and why a request is where it is."""


# ls ------------------------------------------------------------------------------------------------------------------


@app.command("ls")
def list_requests(
    region: Annotated[str | None, typer.Option(help="Only requests about which this region said something.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=ROWS_MAX, help="So many, the latest first.")] = 50,
    regions_dir: output.RegionsDir = None,
    as_json: output.AsJson = False,
) -> None:
    """List the requests about which anyone said anything: each region's word, and where it is now."""
    asyncio.run(_list(Settings.load(regions_dir=regions_dir), region, limit, as_json=as_json))


async def _list(settings: Settings, region: str | None, limit: int, *, as_json: bool) -> None:
    async with sight(settings) as seen:
        if region is not None:
            seen.topology.region(region)
        keys = seen.ledgers.keys()
        since_us = {key: _since_us(seen.ledgers, key, partition, region) for key, partition in keys.items()}
        known = sorted(((us, key) for key, us in since_us.items() if us is not None), reverse=True)
        rows = []
        for us, key in known[:limit]:
            located = await gather(key, keys[key], seen.reached.stores, seen.ledgers)
            rows.append(_row(located, seen, us))
        seen.tell_away()
        if len(known) > limit:
            output.note(f"{len(known) - limit:,} older ones are not shown: see --limit")
        output.show_list(
            rows,
            {
                "request": lambda row: row["key"],
                "service": lambda row: row["service"] or "(undecodable)",
                "said": lambda row: ", ".join(f"{name}: {word}" for name, word in row["words"].items()),
                "since": lambda row: output.ago(row["since_us"] / 1e6, now_us() / 1e6),
                "now": lambda row: ", ".join(f"{name}: {where}" for name, where in row["where"].items()),
            },
            as_json=as_json,
            empty=seen.nothing("nobody said anything about any request: every one was stored at once"),
        )
        if not keys and not seen.ledgers.read:
            raise typer.Exit(output.Status.UNKNOWN)


def _since_us(ledgers: Ledgers, key: RequestKey, partition: int, region: str | None) -> int | None:
    """When the first failure of a request was; None when the region that is asked for said nothing of it."""
    book = ledgers.book(partition)
    said = [word for word in book.words.get(key, {}).values() if region in (None, word.replica.region)]
    order = book.orders.get(key)
    times_us = [word.since_us for word in said] + ([order.at_us] if order and (said or region is None) else [])
    return min(times_us, default=None)


def _row(located: Located, seen: Sight, since_us: int) -> dict[str, Any]:
    key, book = located.key, located.book
    order = book.orders.get(key)
    words = {}
    for name in seen.topology.names:
        said = book.region_word(key, name)
        words[name] = "nothing" if said is None else f"{said.word} ({said.kind})" if said.kind else str(said.word)
    return {
        "key": key.printed,
        "service": key.parent.service,
        "dedup_key": key.parent.dedup_key,
        "partition": located.partition,
        "words": words | ({order.by: str(order.word)} if order else {}),
        "since_us": since_us,
        "where": {name: located.where(name) for name in seen.reached.stores},
    }


# show, explain -------------------------------------------------------------------------------------------------------


@app.command()
def show(key: Key, regions_dir: output.RegionsDir = None, as_json: output.AsJson = False) -> None:
    """Show all statements about a request as they stand in the ledger, and the incarnations that decide what counts."""
    asyncio.run(_show(Settings.load(regions_dir=regions_dir), key, as_json=as_json))


async def _show(settings: Settings, printed: str, *, as_json: bool) -> None:
    async with sight(settings) as seen:
        found = [statements(located) for located in await seen.locate(printed)]
        seen.tell_away()
    if as_json:
        output.show_json(found[0] if len(found) == 1 else found)
        return
    for fields in found:
        output.show_fields(
            {"request": fields["key"], "partition": fields["partition"], "payload": _size(fields["payload_bytes"])},
            as_json=False,
        )
        typer.echo("")
        columns = output.plain("replica", "word", "kind", "attempt", "incarnation", "counts", "since", "reason")
        output.show_list(fields["words"], columns, as_json=False, empty="no replica said anything about it")
        if fields["order"]:
            typer.echo("")
            output.show_fields(fields["order"], as_json=False)
        typer.echo("")
        columns = output.plain("replica", "incarnation", "database")
        output.show_list(fields["incarnations"], columns, as_json=False, empty="no replica opened an incarnation")
        for unknown in fields["unknown"]:
            typer.echo(f"a statement that this release does not know: {output.clean(unknown)}")


def statements(located: Located) -> dict[str, Any]:
    """All that stands in the ledger about a request."""
    key, book = located.key, located.book
    said = sorted(book.words.get(key, {}).items())
    order, payload = book.orders.get(key), book.payloads.get(key)
    counting = {word for replica, _ in said if (word := book.region_word(key, replica.region)) is not None}
    spelt = format_id(key.id).encode(), key.digest.hex().encode()
    return {
        "key": key.printed,
        "service": key.parent.service,
        "dedup_key": key.parent.dedup_key,
        "digest": key.digest.hex(),
        "partition": located.partition,
        "payload_bytes": len(payload.record) if payload else None,
        "words": [
            {"replica": str(replica), "since": output.utc(word.since_us / 1e6)}
            | explaining.word_facts(word, counts=word in counting)
            for replica, word in said
        ],
        "order": (
            {"person": order.by, "word": str(order.word), "number": order.number, "why": order.why}
            | {"at": output.utc(order.at_us / 1e6)}
            if order
            else None
        ),
        "incarnations": explaining.incarnations(book),
        "unknown": [
            unknown.value.decode("utf-8", "backslashreplace")
            for ledger_key, unknown in book.unknown.items()
            if all(part in ledger_key for part in spelt)
        ],
    }


def _size(payload_bytes: int | None) -> str:
    return "none in the ledger" if payload_bytes is None else f"{payload_bytes:,} bytes in the ledger"


@app.command()
def explain(key: Key, regions_dir: output.RegionsDir = None, as_json: output.AsJson = False) -> None:
    """Say in words why a request is where it is, what happens next, and what you can do."""
    asyncio.run(_explain(Settings.load(regions_dir=regions_dir), key, as_json=as_json))


async def _explain(settings: Settings, printed: str, *, as_json: bool) -> None:
    at_us = now_us()
    async with sight(settings) as seen:
        found = [
            explaining.facts(located, seen.topology, now_us=at_us, away=seen.stores_away)
            for located in await seen.locate(printed)
        ]
        seen.tell_away()
    if as_json:
        output.show_json(found[0] if len(found) == 1 else found)
        return
    for explained in found:
        typer.echo("\n".join(output.clean(line) for line in explaining.in_words(explained, when(at_us))))
