"""Reading for people: one region after another, and in words what an answer may lack.

An answer that nobody qualifies is taken for the whole truth. So each command that reads says which region it heard,
when that is not the first, up to when the answer is complete, and what of it was set aside.
"""

import inspect
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import quote

import typer

from tocsin.cli import output
from tocsin.cli.access import Asked, CaFile, OnlyRegion, TokenFile, UpFile, Url, open_reader

if TYPE_CHECKING:
    from tocsin.client.reader import Reader, Reading

PAGE_MAX: Final = 100
"""What the read interface gives at once."""
ON_ITS_WAY: Final = 202
LATE_S: Final = 60.0
"""An answer complete only up to longer ago than this has a reason that somebody should look for."""
SHOWN_KEYS_MAX: Final = 5
SECONDS: Final = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_SPAN: Final = re.compile(rf"(\d{{1,6}})\s*({'|'.join(sorted(SECONDS, key=len, reverse=True))})(?:\s+ago)?\Z")
HINTS: Final = {
    401: "the region knows no such token: `tocsin token ls` there shows those that are valid; name another with "
    "--token-file or TOCSIN_TOKEN",
    403: "`tocsin token create --scope write` makes one that may change things; name it with --token-file or "
    "TOCSIN_TOKEN",
}


class Reads:
    """Asks the regions, and tells on stderr which one answered when it is not the one that was asked first."""

    def __init__(self, reader: "Reader") -> None:
        self._reader = reader
        self._told: str | None = None

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> "Reading":
        """As the reader's, with advice to what it raises."""
        return self._asked(self._reader.get, path, params)

    def put(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> "Reading":
        """As the reader's, with advice to what it raises."""
        return self._asked(self._reader.put, path, body, headers)

    def _asked(self, ask: Callable[..., "Reading"], *given: Any) -> "Reading":
        from tocsin.client.reader import NoAnswer, Rejected

        try:
            reading = ask(*given)
        except Rejected as error:
            if error.status in HINTS:
                error.add_note(HINTS[error.status])
            raise
        except NoAnswer as error:
            error.add_note("`tocsin region ls` shows the regions and how they are; without `tocsin up` none is there")
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                error.add_note("whoever signed these certificates is not trusted here: --ca-file names the authority")
            raise
        if reading.passed_over and reading.region != self._told:
            for name, why in reading.passed_over.items():
                output.note(output.clean(f"region {name} does not answer: {why}"))
            output.note(output.clean(f"what follows is region {reading.region}'s"))
        self._told = reading.region
        return reading

    def close(self) -> None:
        """Closes the connections."""
        self._reader.close()


def reading(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command, whose first argument is `Reads`, the options that say where to read and by which token."""
    shared = {"region": OnlyRegion, "url": Url, "ca_file": CaFile, "token_file": TokenFile, "up_file": UpFile}
    _, *own = inspect.signature(command, eval_str=True).parameters.values()
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in shared.items()
    ]

    def run(**given: Any) -> None:
        asked = Asked(**{name: given.pop(name) for name in shared})
        reads = Reads(open_reader(asked))
        try:
            command(reads, **given)
        finally:
            reads.close()

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    # typer makes a command's options from these two.
    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own] + added
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def quoted(id: str) -> str:
    """An id as a part of a path, whatever a person typed."""
    return quote(id, safe="")


def is_on_its_way(answer: "Reading", *, as_json: bool) -> bool:
    """Whether what was asked for may be on its way; then that is told."""
    if answer.status != ON_ITS_WAY:
        return False
    if as_json:
        output.show_json(answer.body | completeness(answer))
    else:
        typer.echo(output.clean(f"{answer.body.get('id')} is pending: {answer.body.get('message')}"))
        tell_completeness(answer)
    return True


# How complete --------------------------------------------------------------------------------------------------------


def completeness(answer: "Reading") -> dict[str, Any]:
    """What an answer says of itself, for machines."""
    return {
        "region": answer.region,
        "complete_until": answer.complete_until,
        "pending": answer.is_pending,
        "drained": list(answer.drained),
        "set_aside": list(answer.set_aside),
    }


def tell_completeness(answer: "Reading") -> None:
    """Says on stderr how complete an answer is."""
    for line in completeness_words(answer, time.time()):
        output.note(output.clean(line))


def completeness_words(answer: "Reading", now_s: float) -> list[str]:
    """The same for people, a line each."""
    lines = [_reach(answer, now_s)]
    if answer.drained:
        lines.append(f"what drained regions took and did not pass on is missing: {', '.join(answer.drained)}")
    if answer.set_aside:
        shown = ", ".join(answer.set_aside[:SHOWN_KEYS_MAX])
        more = ", and more" if len(answer.set_aside) > SHOWN_KEYS_MAX or "..." in answer.set_aside else ""
        lines.append(f"could not be stored and is kept aside: {shown}{more}; `tocsin ledger explain KEY` says why")
    return lines


def _reach(answer: "Reading", now_s: float) -> str:
    who = f"region {answer.region}"
    if answer.complete_until is None:
        return f"{who} cannot tell how complete this is: it has not heard all regions; `tocsin progress` shows more"
    until_s = unix_s(answer.complete_until)
    words = f"complete in {who} up to {output.utc(until_s)} ({output.ago(until_s, now_s)})"
    if not answer.is_pending:
        return words
    words += "; what came later may be missing"
    if now_s - until_s > LATE_S:
        words += ", and that is long: `tocsin region ls` shows who is silent or halted, `tocsin progress` what holds it"
    return words


# Times ---------------------------------------------------------------------------------------------------------------


def unix_s(moment: str) -> float:
    """The Unix time of an ISO 8601 moment."""
    return datetime.fromisoformat(moment).timestamp()


def since(moment: str | None) -> str:
    """A moment as seen from now; nothing for none."""
    return "" if moment is None else output.ago(unix_s(moment), time.time())


def both(moment: str) -> str:
    """A moment in UTC and as seen from now."""
    return f"{output.utc(unix_s(moment))} ({since(moment)})"


def parse_moment(text: str) -> datetime:
    """A time as people type it: `2h` (ago), `90s`, `3d`, or ISO 8601, in UTC unless it says otherwise."""
    span = _SPAN.match(text.strip())
    now = datetime.now(UTC)
    try:
        if span:
            return now - timedelta(seconds=int(span[1]) * SECONDS[span[2]])
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        what = f"{text!r} is no time: say how long ago (90s, 15min, 2h, 3d, 1w), or 2026-11-22 or 2026-11-22T14:30Z"
        raise typer.BadParameter(output.clean(what)) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Since = Annotated[
    datetime | None,
    typer.Option("--since", parser=parse_moment, metavar="TIME", help="From then on: 2h, 3d, or an ISO 8601 time."),
]
Until = Annotated[
    datetime | None,
    typer.Option("--until", parser=parse_moment, metavar="TIME", help="Until before then; same forms."),
]


def range_of(since: datetime | None, until: datetime | None) -> dict[str, str]:
    """The parameters that bound a list in time; without bounds it is asked for whole."""
    given = {"since": since, "until": until}
    return {name: at.isoformat() for name, at in given.items() if at} or {"date_range": "all"}


def range_words(since: datetime | None, until: datetime | None) -> str:
    """The same in words, to be put behind what is listed."""
    words = f" since {output.utc(since.timestamp())}" if since else ""
    return words + (f" until {output.utc(until.timestamp())}" if until else "")


# Pages ---------------------------------------------------------------------------------------------------------------


def pages(reads: Reads, path: str, name: str, params: Mapping[str, Any], limit: int) -> "Reading":
    """The first `limit` of a list, whatever a page holds; `more` in its body says whether there are further ones.

    What it says of itself is what the least complete page says.
    """
    found: list[Any] = []
    whole: Reading | None = None
    while whole is None or (whole.body.get("more") and len(found) < limit):
        asked = {"limit": min(PAGE_MAX, limit - len(found)), "offset": len(found)}
        page = reads.get(path, {**params, **asked})
        found += page.body.get(name, [])
        whole = page if whole is None else less_complete(whole, page)
        if not page.body.get(name):
            break
    return whole._replace(body={**whole.body, name: found})


def less_complete(one: "Reading", other: "Reading") -> "Reading":
    """Both as one answer. Its `more` is that of the later page."""
    reaches = one.complete_until, other.complete_until
    return other._replace(
        complete_until=None if None in reaches else min(reach for reach in reaches if reach),
        is_pending=one.is_pending or other.is_pending,
        set_aside=tuple(dict.fromkeys((*one.set_aside, *other.set_aside))),
        drained=tuple(dict.fromkeys((*one.drained, *other.drained))),
    )
