"""Writes the generated sections of documents from the code's own tables, so that no document can drift.

A section stands between `<!-- generated: name -->` and `<!-- end: name -->`; what is outside is written by people. Run
it by `make docs`; tests/unit/test_docs.py fails while a document is not what this would write.

The diagram of stages is not drawn from a second table: every row of the verdict table is applied to a case in every
stage by the code that decides, and the arrows are what then happened.
"""
# ruff: noqa: INP001 - a script beside the documents, not a package

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Final

import msgspec

from tocsin.core import failures, kept, limits, partition, verdict
from tocsin.core.case import Case, Copy
from tocsin.core.cases import BUDGET_ROW, Cases
from tocsin.core.effects import Now
from tocsin.core.failures import Failure, Kind
from tocsin.core.ids import Parent, RequestKey, digest
from tocsin.core.kept import Stage
from tocsin.core.knowledge import Knowledge, Place
from tocsin.core.limits import Limits
from tocsin.core.partition import Phase
from tocsin.core.requests import Arrival
from tocsin.core.sources import Sources
from tocsin.core.statements import (
    Beat,
    Opened,
    Payload,
    PersonWord,
    Promoted,
    RegionOrder,
    Replica,
    RequestOrder,
    Said,
    Standing,
    Statement,
    Word,
    encode_statement,
)
from tocsin.core.verdict import TABLE, Row, Verdict
from tocsin.telemetry import Bound, Counter, Gauge, Histogram, names, prometheus_name

ROOT: Final = Path(__file__).parents[1]
SOURCE: Final = ROOT / "service" / "tocsin"
WIDTH: Final = 60
"""Characters of one line of a label in a diagram."""
_SECTION: Final = re.compile(r"<!-- generated: ([a-z-]+) -->\n.*?<!-- end: \1 -->\n", re.DOTALL)
_NOW: Final = Now(1_000.0, 1_760_000_000_000_000)
_KEY: Final = RequestKey(Parent("checkout", "disk/db-1"), 0x68E77000_3C1F00A7, digest(b"example"))
_REPLICA: Final = Replica("a", "blue")


# Tables -----------------------------------------------------------------------------------------------------------


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    cells = (" | ".join(cell.replace("|", "\\|") for cell in line) for line in lines)
    return "".join(f"| {line} |\n" for line in cells)


def attribute_docs(module: ModuleType, owner: str) -> dict[str, str]:
    """Name to docstring of the attributes of a class: the string that stands below each in the source."""
    [found] = [
        node
        for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, ast.ClassDef) and node.name == owner
    ]
    docs = {}
    for before, after in zip(found.body, found.body[1:], strict=False):
        match before, after:
            case (
                ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                docs[name] = inspect.cleandoc(text).replace("\n", " ")
            case _:
                pass
    return docs


def members(module: ModuleType, words: type[StrEnum], head: tuple[str, str]) -> str:
    """The members of an enumeration and what each means."""
    docs = attribute_docs(module, words.__name__)
    return table(head, ((f"`{word.name}`", docs[word.name]) for word in words))


def limits_table() -> str:
    """Every limit of the protocol, with its default."""
    docs = attribute_docs(limits, "Limits")
    return table(
        ("limit", "default", "meaning"),
        ((f"`{limit.name}`", f"{limit.default:,}", docs[limit.name]) for limit in fields(Limits)),
    )


def statements_table() -> str:
    """Every kind of statement, with the ledger key of an example."""
    examples: tuple[Statement, ...] = (
        Said(_KEY, _REPLICA, Word.FAILED, 1, 1, 0, Kind.REJECTED),
        Payload(_KEY, b""),
        RequestOrder(_KEY, 1, PersonWord.DROPPED, "ann", 0),
        RegionOrder("a", 1, PersonWord.DRAINED, "ann", 0),
        Standing(
            _REPLICA, Beat(1, 1), 0, halted=False, ill=False, draining=False, lag_s=0, schema=1, incarnation=1, heard={}
        ),
        Opened(_REPLICA, 1, ""),
        Promoted("a", 1, "blue"),
    )
    rows = []
    for statement in examples:
        key = ", ".join(msgspec.json.decode(encode_statement(statement)[0], type=list[str]))
        rows.append((f"`{type(statement).__name__}`", f"`{shortened(key)}`", first_paragraph(type(statement))))
    return table(("statement", "ledger key, of an example", "meaning"), rows)


def shortened(text: str) -> str:
    """The text with its digest cut: nobody reads 32 hex digits."""
    return text.replace(_KEY.digest.hex(), _KEY.digest.hex()[:12] + "...")


def first_paragraph(of: type) -> str:
    """The first paragraph of a docstring, on one line."""
    return inspect.cleandoc(of.__doc__ or "").split("\n\n")[0].replace("\n", " ")


# Diagrams ---------------------------------------------------------------------------------------------------------


def phases() -> str:
    """The phases of the machine: its own drawing and words."""
    theory = inspect.cleandoc(partition.__doc__ or "").split("------\n", 1)[1]
    drawing, rest = theory.split("\n\n", 1)
    names = table(("phase", "the machine is"), ((f"`{phase.name}`", phase.value) for phase in Phase))
    return f"```\n{textwrap.dedent(drawing)}\n```\n\n{rest}\n\n{names}"


def stages() -> str:
    """How cases move between stages, as the code moves them."""
    arrows: dict[tuple[Stage, Stage], list[str]] = {}
    for before in (Stage.HELD, Stage.ASIDE, Stage.QUARANTINED, Stage.DROPPED):
        for label, event in events(before):
            cases, case = case_in(before)
            event(cases, case)
            if case.stage is not before or before is Stage.HELD:
                arrows.setdefault((before, case.stage), []).append(label)
    lines = ["stateDiagram-v2", "    [*] --> held: a request failed"]
    for (before, after), labels in arrows.items():
        text = "<br/>".join(textwrap.wrap(", ".join(labels), WIDTH, break_on_hyphens=False))
        lines.append(f"    {before} --> {after}: {text}")
    lines.append("    done --> [*]")
    return "```mermaid\n" + "\n".join(lines) + "\n```\n"


def case_in(stage: Stage) -> tuple[Cases, Case]:
    """A case in a stage, for which nothing is left to be asked: the budget admits it, and our store has no row."""
    known = Knowledge(Place(_REPLICA, 0, 1, "", ("b",), frozenset({"a", "b"})), Limits(), _NOW)
    cases = Cases(known, Sources({}, Limits(), unclean=False))
    copy = Copy(b"", Failure(Kind.REJECTED, ""), None)
    case = Case(_KEY, copy, stage=stage, kind=Kind.REJECTED, version=1, checked=True, counted=True)
    cases.open[case.key] = case
    return cases, case


def events(stage: Stage) -> Iterable[tuple[str, Callable[[Cases, Case], None]]]:
    """What can befall a case in a stage, by name: the rows of the table, and what no row is needed for."""
    for row in TABLE:
        if row.name == "stored":
            yield "stored", lambda cases, case: cases.stored(case, Arrival(0, "a"), _NOW)
        elif stage is not Stage.DROPPED or row.name == "dropped":  # a person's word stands until the next
            yield row.name, applied(row)
            if row.verdict is Verdict.QUARANTINE and stage is Stage.HELD:  # others were admitted when they got there
                yield BUDGET_ROW, applied(row, spent=True)
    yield "redrive", redriven


def applied(row: Row, *, spent: bool = False) -> Callable[[Cases, Case], None]:
    """The step that the deciding code makes for a row."""

    def apply(cases: Cases, case: Case) -> None:
        if spent:
            case.counted = False
            cases.budget(_NOW, frozenset(), spent=True)
        cases._apply(case, row, "", _NOW)  # noqa: SLF001 - the one place where a row becomes a stage

    return apply


def redriven(cases: Cases, case: Case) -> None:
    """A person says `redrive`."""
    cases._known.book.merge(RequestOrder(case.key, 1, PersonWord.REDRIVE, "ann", 0))  # noqa: SLF001 - as above
    cases.ordered(case.key, _NOW)


# Telemetry --------------------------------------------------------------------------------------------------------


def metrics_table() -> str:
    """Every metric, as both worlds call it."""
    metrics = sorted((*Counter, *Gauge, *Histogram), key=lambda metric: metric.value.name)
    rows = (
        (f"`{one.value.name}`", f"`{prometheus_name(one)}`", type(one).__name__.lower(), one.value.description)
        for one in metrics
    )
    return table(("OpenTelemetry", "Prometheus", "kind", "meaning"), rows)


def bounds_table() -> str:
    """Every bound that the metrics of bounds tell of."""
    docs = attribute_docs(names, "Bound")
    return table(("bound", "meaning"), ((f"`{one}`", docs[one.name].replace("\n", " ")) for one in Bound))


def actions_table() -> str:
    """Every action that a log record can have, and the modules that say it."""
    said: dict[str, set[str]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        for action in actions_in(ast.parse(path.read_text(encoding="utf-8"))):
            said.setdefault(action, set()).add(path.relative_to(SOURCE).with_suffix("").as_posix())
    rows = ((f"`{action}`", ", ".join(f"`{module}`" for module in sorted(said[action]))) for action in sorted(said))
    return table(("action", "said by"), rows)


def actions_in(module: ast.Module) -> Iterable[str]:
    """The actions that a module names: beside `"action"` in what is added to a record, or as an alarm's first word."""
    named = {
        target.id: text
        for node in ast.walk(module)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and (text := words_in(node.value))
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Alarm" and node.args:
            yield from words_in(node.args[0])
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "action":
                    yield from named.get(value.id, ()) if isinstance(value, ast.Name) else words_in(value)


def words_in(value: ast.expr) -> tuple[str, ...]:
    """The texts that an expression can be, as far as it says so itself."""
    match value:
        case ast.Constant(value=str() as text):
            return (text,)
        case ast.IfExp(body=body, orelse=orelse):
            return (*words_in(body), *words_in(orelse))
        case _:
            return ()


# The documents ----------------------------------------------------------------------------------------------------

DOCUMENTS: Final[dict[Path, dict[str, Callable[[], str]]]] = {
    ROOT / "ARCHITECTURE.md": {
        "verdict-table": verdict.as_markdown,
        "stage-diagram": stages,
        "stages": lambda: members(kept, Stage, ("stage", "meaning")),
        "kinds": lambda: members(failures, Kind, ("kind", "meaning")),
        "statements": statements_table,
        "phases": phases,
        "limits": limits_table,
    },
    ROOT / "docs" / "telemetry.md": {
        "metrics": metrics_table,
        "bounds": bounds_table,
        "actions": actions_table,
    },
}
"""Document to its generated sections, by name."""


def generated(text: str, sections: Mapping[str, Callable[[], str]]) -> str:
    """A document with its generated sections as the code is now; raises ValueError when one is missing."""
    found = _SECTION.findall(text)
    if sorted(found) != sorted(sections):
        raise ValueError(f"sections between markers are {sorted(found)}, and should be {sorted(sections)}, once each")
    return _SECTION.sub(
        lambda match: f"<!-- generated: {match[1]} -->\n{sections[match[1]]()}<!-- end: {match[1]} -->\n", text
    )


def main() -> None:
    """Writes those documents anew that are not up to date."""
    for document, sections in DOCUMENTS.items():
        before = document.read_text(encoding="utf-8")
        after = generated(before, sections)
        document.write_text(after, encoding="utf-8")
        sys.stdout.write(f"{document.name}: {'up to date' if after == before else 'written anew'}\n")


if __name__ == "__main__":
    main()
