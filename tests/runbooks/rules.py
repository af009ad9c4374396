"""What must hold of runbooks, alerts and drills together. Each rule yields what breaks it, in words that name it."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.runbooks.book import FOLDER, INDEX, LINES_MAX, SECTIONS, Block, Book, books
from tests.runbooks.commands import Wrong, changes
from tests.unit.ops.alerts.made import ROOT, catalogue
from tocsin.ops.alerts.catalogue import METRICS, Alert

DRILLS = ROOT / "chaos"
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_METRIC = re.compile(r"`(tocsin\.[a-z_.]+)`")
_ALERT = re.compile(r"\bTocsin[A-Z][A-Za-z]+\b")


@dataclass(frozen=True)
class World:
    """All that is checked together."""

    books: Sequence[Book]
    alerts: Mapping[str, Alert]
    drills: Mapping[str, Mapping[str, Any]]
    folder: Path = FOLDER

    @property
    def runbooks(self) -> list[Book]:
        """Without the index."""
        return [book for book in self.books if book.name != INDEX]


def world() -> World:
    """As it stands in the repository."""
    drills = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(DRILLS.glob("*.yaml"))}
    return World(books(), {alert.name: alert for alert in catalogue().alerts}, drills)


def problems(world: World) -> list[str]:
    """All that is wrong."""
    return [what for rule in RULES for what in rule(world)]


def pairs(world: World) -> Iterator[str]:
    """Each alert has a runbook, and each runbook an alert whose facts it repeats."""
    names = {book.name.removesuffix(".md") for book in world.runbooks}
    for missing in sorted(set(world.alerts) - names):
        yield f"{missing}: the alert has no runbook"
    for book in world.runbooks:
        alert = world.alerts.get(book.name.removesuffix(".md"))
        if alert is None:
            yield f"{book.name}: no alert has this name"
            continue
        facts = {"alert": alert.name, "severity": str(alert.severity), "owner": alert.owner}
        for field, value in (facts | {"drills": list(alert.drills)}).items():
            if book.front.get(field) != value:
                yield f"{book.name}: {field} is {book.front.get(field)!r}, in the catalogue {value!r}"


def drills(world: World) -> Iterator[str]:
    """Each alert's drills are there; each drill names a runbook, and alerts that there are."""
    named = {drill for alert in world.alerts.values() for drill in alert.drills}
    for drill in sorted(named - set(world.drills)):
        yield f"{drill}: the catalogue names this drill, and chaos/{drill}.yaml does not exist"
    for drill, content in world.drills.items():
        for alert in (content.get("runbook"), *content.get("alerts", ())):
            if alert not in world.alerts:
                yield f"chaos/{drill}.yaml: names {alert!r}, and no alert has this name"
        told = world.alerts.get(content.get("runbook", ""))
        if told is not None and drill not in told.drills:
            yield f"{drill}: is a drill of {told.name}, and the catalogue does not name it there"


def template(world: World) -> Iterator[str]:
    """Each runbook follows the template, and is short enough to be read by somebody who was woken."""
    for book in world.runbooks:
        if book.sections != SECTIONS:
            yield f"{book.name}: its sections are {', '.join(book.sections)}; expected {', '.join(SECTIONS)}"
        if f"\n# {book.name.removesuffix('.md')}\n" not in book.text:
            yield f"{book.name}: its heading is not the alert's name"
        lines = book.text.splitlines()
        if len(lines) > LINES_MAX:
            yield f"{book.name}: {len(lines)} lines, more than {LINES_MAX}"
        if not any(block.section == "First look" for block in book.blocks):
            yield f"{book.name}: First look has no command"


def links(world: World) -> Iterator[str]:
    """Links lead somewhere; alerts and metrics that are named exist."""
    for book in world.books:
        for link in _LINK.findall(book.text):
            file = link.partition("#")[0]
            books = {other.name for other in world.books}
            there = file in books if "/" not in file else (world.folder / file).exists()
            if not re.match(r"[a-z]+:", link) and not there:
                yield f"{book.name}: the link {link} leads nowhere"
        for alert in sorted(set(_ALERT.findall(book.text)) - set(world.alerts)):
            yield f"{book.name}: names {alert}, and no alert has this name"
        for metric in sorted(set(_METRIC.findall(book.text)) - set(METRICS)):
            yield f"{book.name}: names the metric {metric}, which nothing measures"


def commands(world: World) -> Iterator[str]:
    """Every command and option exists, and a block that changes something is marked, and is followed by a look."""
    for book in world.books:
        for span in book.spans:
            if problem := _wrong(span):
                yield f"{book.name}: {problem}"
        blocks = book.blocks
        for place, block in enumerate(blocks):
            yield from (f"{book.name}, line {block.line}: {what}" for what in _of_block(block))
            follows = blocks[place + 1] if place + 1 < len(blocks) else None
            if block.changes and (follows is None or follows.changes):
                yield f"{book.name}, line {block.line}: it changes something, and no look follows"


def _of_block(block: Block) -> Iterator[str]:
    if block.language != "console" or not block.commands:
        yield f"a block of {block.language or 'nothing'}: expected console, and commands that begin with `$ `"
    for command in block.commands:
        if problem := _wrong(command.text):
            yield problem
        elif changes(command.text) is not block.changes:
            yield f"`{command.text}` {'only looks' if block.changes else 'changes something'}: the fence says otherwise"


def _wrong(line: str) -> str:
    try:
        changes(line)
    except Wrong as error:
        return str(error)
    return ""


RULES: tuple[Callable[[World], Iterator[str]], ...] = (pairs, drills, template, links, commands)
