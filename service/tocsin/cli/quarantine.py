"""`tocsin quarantine`: requests that a region could not store. Look at them, have them tried again, or drop them."""

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, NamedTuple

import typer

from tocsin.cli import output
from tocsin.cli.sight import Sight, now_us, record, sight, speaker, when
from tocsin.core.failures import Failure
from tocsin.core.ids import RequestKey
from tocsin.core.kept import Kept, Stage
from tocsin.core.statements import PersonWord, RequestOrder
from tocsin.engines.audit import Deed
from tocsin.engines.errors import Unavailable
from tocsin.engines.opening import open_store
from tocsin.ops import documents
from tocsin.ops.ledger import say
from tocsin.ops.locate import Located
from tocsin.settings import Settings
from tocsin.telemetry import redacted

app = typer.Typer(no_args_is_help=True, help="Requests that a region could not store: show, redrive, drop.")

REFUSED: Final = (Stage.HELD, Stage.ASIDE, Stage.QUARANTINED)
"""What is not done well: `--all` and `--service` mean these. What a person dropped stays dropped unless it is named."""
ROWS_MAX: Final = 100_000
NAMED_MAX: Final = 5
_DISTANCE: Final = re.compile(r"(\d{1,9})\s*(s|min|h|d)\Z")
_UNIT_S: Final = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}

Keys = Annotated[list[str] | None, typer.Argument(metavar="KEY...", help="Printed request keys, 0x<16 hex>.<12 hex>.")]
Why = Annotated[str, typer.Option("--why", help="The reason, for whoever reads the ledger later.")]


class StageName(StrEnum):
    """The stages that can be asked for."""

    SET_ASIDE = "set_aside"
    QUARANTINED = "quarantined"
    HELD = "held"
    DROPPED = "dropped"


@app.callback()
def quarantine() -> None:
    """Requests that a region could not store: show, redrive, drop."""


@app.command("ls")
def list_rows(
    stage: Annotated[list[StageName] | None, typer.Option(help="Only these; left out, all of them.")] = None,
    region: Annotated[str | None, typer.Option(help="Only what this region keeps.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=ROWS_MAX, help="So many of each region, the oldest first.")] = 100,
    regions_dir: output.RegionsDir = None,
    as_json: output.AsJson = False,
) -> None:
    """List what regions keep of requests that they could not store, and the row of the table that put it there."""
    stages = [Stage(one.value) for one in stage or StageName]
    asyncio.run(_list(Settings.load(regions_dir=regions_dir), stages, region, limit, as_json=as_json))


async def _list(settings: Settings, stages: Sequence[Stage], region: str | None, limit: int, *, as_json: bool) -> None:
    rows = []
    async with sight(settings, only=region) as seen:
        for name, store in seen.reached.stores.items():
            found = await store.kept_rows(stages=stages, limit=limit + 1)
            rows += [_row(name, kept) for kept in found[:limit]]
            if len(found) > limit:
                output.note(f"region {name} has more than these {limit:,}: see --limit")
        seen.tell_away()
    output.show_list(
        rows,
        output.plain("region", "stage", "key")
        | {
            "service": lambda row: row["service"] or "(undecodable)",
            "dedup key": lambda row: output.clean(row["dedup_key"]),
            "kind": lambda row: row["kind"],
            "since": lambda row: output.ago(row["since_us"] / 1e6, now_us() / 1e6),
            "by row": lambda row: row["row"],
            "reason": lambda row: row["reason"],
        },
        as_json=as_json,
        empty=seen.nothing(
            "nothing is kept: every request was stored"
            if len(stages) == len(StageName)
            else f"nothing is {' or '.join(stages)}; other stages were not looked at"
        ),
    )
    if not seen.reached.stores:
        raise typer.Exit(output.Status.UNKNOWN)


def _row(region: str, kept: Kept) -> dict[str, Any]:
    return {
        "region": region,
        "stage": str(kept.stage),
        "key": kept.key.printed,
        "service": kept.key.parent.service,
        "dedup_key": kept.key.parent.dedup_key,
        "partition": kept.partition,
        "kind": str(kept.kind),
        "reason": kept.reason,
        "since_us": kept.since_us,
        "attempt": kept.attempt,
        "row": kept.decisions[-1].row if kept.decisions else None,
    }


# show ----------------------------------------------------------------------------------------------------------------


@app.command()
def show(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The printed request key.")],
    regions_dir: output.RegionsDir = None,
    as_json: output.AsJson = False,
) -> None:
    """Show what a request holds, secrets left out, and where it is."""
    asyncio.run(_show(Settings.load(regions_dir=regions_dir), key, as_json=as_json))


async def _show(settings: Settings, printed: str, *, as_json: bool) -> None:
    async with sight(settings) as seen:
        found = [_whole(located, seen) for located in await seen.locate(printed)]
        seen.tell_away()
    if as_json:
        output.show_json(found[0] if len(found) == 1 else found)
        return
    for one in found:
        body = one.pop("body")
        received_us = one.pop("received_us")
        times = {"received": when(now_us())(received_us)} if received_us is not None else {}
        fields = {name: value for name, value in one.items() if value not in (None, "")}
        output.show_fields(fields | {"where": _spell(one["where"])} | times, as_json=False)
        text = body if isinstance(body, str) else json.dumps(body, indent=2, ensure_ascii=False)
        typer.echo("\n" + "\n".join(output.clean(line) for line in text.splitlines()))


def _whole(located: Located, seen: Sight) -> dict[str, Any]:
    key, content = located.key, located.content
    fields: dict[str, Any] = {
        "request": key.printed,
        "service": key.parent.service,
        "dedup_key": key.parent.dedup_key,
        "where": {name: located.where(name) for name in seen.reached.stores},
        "received_us": None,
        "region": None,
        "bytes": None,
        "body": "nobody that could be read has its payload",
    }
    if isinstance(content, Failure):
        raw = located.raw_value or b""
        fields |= {"bytes": len(raw), "body": f"cannot be read: {content.reason}\n{_spell_bytes(raw)}"}
    elif content is not None:
        fields |= {"received_us": content.received_us, "region": content.region, "bytes": len(content.body)}
        fields["body"] = _decoded(content.body)
    return fields


def _decoded(body: bytes) -> Any:
    try:
        return redacted(json.loads(body))
    except (ValueError, RecursionError) as error:
        return f"is no JSON: {error}\n{_spell_bytes(body)}"


def _spell_bytes(raw: bytes, shown_max: int = 2_000) -> str:
    """Bytes that nothing could read, as text where they are text."""
    text = str(redacted(raw[:shown_max].decode("utf-8", "backslashreplace")))
    return text + (f"... ({len(raw):,} bytes)" if len(raw) > shown_max else "")


def _spell(where: Mapping[str, str]) -> str:
    return ", ".join(f"{region}: {word}" for region, word in where.items())


# redrive, drop -------------------------------------------------------------------------------------------------------


@app.command()
def redrive(
    keys: Keys = None,
    service: Annotated[str | None, typer.Option(help="All of this service that some region could not store.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that some region could not store.")] = False,
    why: Why = "",
    yes: output.Yes = False,
    regions_dir: output.RegionsDir = None,
    as_json: output.AsJson = False,
) -> None:
    """Have requests tried again at once and decided anew, in every region; lifts an earlier drop."""
    if sum((bool(keys), service is not None, everything)) != 1:
        raise typer.BadParameter("say which: request keys, or --service, or --all")

    async def choose(seen: Sight) -> dict[RequestKey, int]:
        if keys:
            return await _named(seen, keys, PersonWord.REDRIVE)
        return {
            kept.key: kept.partition
            for store in seen.reached.stores.values()
            for kept in await store.kept_rows(stages=REFUSED, limit=ROWS_MAX)
            if everything or kept.key.parent.service == service
        }

    undo = "nothing is lost by it: each region decides anew; `tocsin quarantine drop KEY` gives a request up"
    order = _Order(PersonWord.REDRIVE, why, undo, yes, as_json)
    asyncio.run(_order(Settings.load(regions_dir=regions_dir), choose, order))


@app.command()
def drop(
    keys: Keys = None,
    peer: Annotated[
        str | None, typer.Option(help="All that this region says it stored and another one could not.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="With --peer: since this time (2026-01-31T12:00:00Z), or so long ago (2h).")
    ] = None,
    why: Why = "",
    yes: output.Yes = False,
    regions_dir: output.RegionsDir = None,
    as_json: output.AsJson = False,
) -> None:
    """Give requests up in every region: reads leave them out, everyone goes on; rows and payloads stay.

    With --peer: the way out when a bad release stores what the others rightly refuse.
    """
    if bool(keys) == (peer is not None) or (peer is None) != (since is None):
        raise typer.BadParameter("say which: request keys, or --peer REGION together with --since TIME")
    since_us = parse_time_us(since, now_us()) if since is not None else 0

    async def choose(seen: Sight) -> dict[RequestKey, int]:
        if keys:
            return await _named(seen, keys, PersonWord.DROPPED)
        disputed = seen.ledgers.disputed(seen.topology.region(str(peer)).name, since_us)
        return {key: number for key, number in disputed.items() if not seen.ledgers.book(number).is_dropped(key)}

    order = _Order(PersonWord.DROPPED, why, "tocsin quarantine redrive KEY", yes, as_json)
    asyncio.run(_order(Settings.load(regions_dir=regions_dir), choose, order))


class _Order(NamedTuple):
    """What a person wants said, and how the command is to go about it."""

    word: PersonWord
    why: str
    undo: str
    yes: bool
    as_json: bool


async def _named(seen: Sight, keys: Sequence[str], word: PersonWord) -> dict[RequestKey, int]:
    """The requests of printed keys; refuses a redrive of what was never refused."""
    chosen = {}
    for printed in dict.fromkeys(keys):
        for located in await seen.locate(printed):
            refused = any(kept.stage is not Stage.DONE for kept in located.kept.values())
            spoken_of = located.key in located.book.words or located.book.is_dropped(located.key)
            if word is PersonWord.REDRIVE and not (refused or spoken_of):
                where = _spell({name: located.where(name) for name in seen.reached.stores})
                output.note(f"{printed} was stored and nobody refused it ({where}): nothing to redrive")
                raise typer.Exit(output.Status.DEVIATED)
            chosen[located.key] = located.partition
    return chosen


async def _order(
    settings: Settings, choose: Callable[[Sight], Awaitable[dict[RequestKey, int]]], order: _Order
) -> None:
    """Chooses the requests, asks, and says the word in the first ledger that takes it."""
    verb = "redrive" if order.word is PersonWord.REDRIVE else "drop"
    async with sight(settings) as seen:
        chosen = await choose(seen)
        seen.tell_away()
        if not seen.ledgers.read:
            raise Unavailable("no region's ledger could be read, so no word can be numbered; nothing was said")
        region = None
        if chosen:
            names = [key.printed for key in list(chosen)[:NAMED_MAX]]
            more = f" and {len(chosen) - NAMED_MAX:,} more" if len(chosen) > NAMED_MAX else ""
            services = sorted({key.parent.service or "(undecodable)" for key in chosen})
            deed = (
                f"{verb} {output.counted(len(chosen), 'request')} in every region: {', '.join(names)}{more}; services: "
            )
            output.confirm(deed + ", ".join(services[:NAMED_MAX]), undo=order.undo, yes=order.yes)
            orders: dict[int, list[RequestOrder]] = defaultdict(list)
            who = speaker(order.why)
            for key, partition in chosen.items():
                orders[partition].append(seen.ledgers.request_order(key, partition, order.word, who))
            region = await say(seen.reached.logs, seen.topology, orders)
            record(settings, region, Deed.SAID, word=order.word, why=order.why, count=len(chosen), requests=names)
    if order.as_json:
        said = {"word": str(order.word), "said_in": region, "requests": [key.printed for key in chosen]}
        output.show_json(said)
    elif region is None:
        typer.echo(f"nothing to {verb}")
    else:
        typer.echo(
            f"said {order.word} of {output.counted(len(chosen), 'request')} in the ledger of region {region}; "
            f"the mirrors carry it on. `tocsin ledger explain {next(iter(chosen)).printed}` shows what comes of it"
        )


def parse_time_us(text: str, at_us: int) -> int:
    """A time as people write it, Unix microseconds: `2026-01-31T12:00:00Z`, or how long ago: `2h`, `30min`, `1d`.

    Raises typer.BadParameter for anything else; a time without a zone is UTC.
    """
    distance = _DISTANCE.match(text)
    if distance:
        return at_us - int(distance[1]) * _UNIT_S[distance[2]] * 1_000_000
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"not a time: {output.clean(text)!r}; write 2026-01-31T12:00:00Z, or how long ago: 90s, 30min, 2h, 1d"
        ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000_000)


# The budget ----------------------------------------------------------------------------------------------------------


@app.command("release-budget")
def release_budget(
    region: Annotated[str, typer.Option(help="The region whose budget is spent.")],
    yes: output.Yes = False,
    regions_dir: output.RegionsDir = None,
    as_json: output.AsJson = False,
) -> None:
    """Let a region go on that halted because requests of too many services would have been skipped.

    Look first whose fault it is: a bad release of ours refuses good requests. Roll it back, and what it refused is
    stored. Services whose requests are still refused are counted anew.
    """
    asyncio.run(_release(Settings.load(regions_dir=regions_dir), region, yes=yes, as_json=as_json))


async def _release(settings: Settings, name: str, *, yes: bool, as_json: bool) -> None:
    region = settings.topology().region(name)
    place = open_store(region, region.serving_stack, settings, read_only=True)
    try:
        before = await documents.budget(place)
    finally:
        await place.close()
    if before.spent or before.counted:
        names = before.counted
        counted = f"{output.counted(len(names), 'service')} counted: {', '.join(names) or 'none'}"
        deed = f"release the budget of region {name} ({'spent' if before.spent else 'not spent'}; {counted})"
        undo = "it cannot be undone: what is held because of it is skipped, and the budget is counted anew"
        output.confirm(deed, undo=undo, yes=yes)
        store = open_store(region, region.serving_stack, settings)
        try:
            before = await documents.release_budget(store)
        finally:
            await store.close()
        record(settings, name, Deed.BUDGET_RELEASED, spent=before.spent, counted=before.counted)
    if as_json:
        output.show_json({"region": name, "spent": before.spent, "counted": list(before.counted)})
    elif before.spent or before.counted:
        typer.echo(f"the budget of region {name} is whole; its creators see it within a second")
    else:
        typer.echo(f"nothing was counted in region {name}: its budget is whole")
