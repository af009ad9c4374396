"""Documents tell the truth: what is generated is up to date, and links, targets and commands that they name exist."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from docs.generate import DOCUMENTS as GENERATED
from docs.generate import generated
from tocsin.cli.main import NOUNS, load

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "ARCHITECTURE.md"
SECTIONS = GENERATED[DOCUMENT]
HIDDEN = {"build", "dist", "node_modules"}
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"(?:\A|(?<=\n\n))(?: {4}.*\n?)+", re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
MAKE = re.compile(r"(?:^\s*|[;&|]\s*)make ((?:[a-z][a-z-]*\s?)+)")
TOCSIN = re.compile(r"(?:^|[\s/;&|])tocsin +([a-z][a-z-]*)(?: +([a-z][a-z-]*))?")


def documents() -> list[Path]:
    """All Markdown files of the repository."""
    return sorted(
        path
        for path in ROOT.rglob("*.md")
        if not any(part.startswith(".") or part in HIDDEN for part in path.relative_to(ROOT).parts)
    )


DOCUMENTS = documents()
each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])


def code_in(text: str) -> Iterator[str]:
    """The lines of code of a document: fenced, indented, or within a sentence."""
    for block in (*FENCE.findall(text), *INDENTED.findall(text)):
        for line in block.splitlines():
            yield line.split("#")[0].rstrip()
    yield from SPAN.findall(FENCE.sub("", text))


def anchors(path: Path) -> set[str]:
    """What a link into a document can point at, spelled as GitHub spells it."""
    headings = HEADING.findall(FENCE.sub("", path.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def make_targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return {
        target for names in re.findall(r"^([.a-z][.a-z -]*):(?!=)", makefile, re.MULTILINE) for target in names.split()
    }


def test_documents_and_what_they_name_are_found_at_all() -> None:
    names = {str(path.relative_to(ROOT)) for path in DOCUMENTS}
    readme = list(code_in((ROOT / "README.md").read_text(encoding="utf-8")))

    assert {"README.md", "ARCHITECTURE.md", "CHANGELOG.md", "docs/adr/README.md", "tests/README.md"} <= names
    assert {"demo", "test"} <= {name for line in readme for some in MAKE.findall(line) for name in some.split()}
    assert {("up", ""), ("region", "ls")} <= {found for line in readme for found in TOCSIN.findall(line)}


@pytest.mark.parametrize(
    ("document", "section"),
    [(document, section) for document, sections in GENERATED.items() for section in sections],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_a_generated_section_is_what_the_code_says_now(document: Path, section: str) -> None:
    text = document.read_text(encoding="utf-8")
    start, end = f"<!-- generated: {section} -->\n", f"<!-- end: {section} -->\n"

    assert text.count(start) == text.count(end) == 1
    between = text.split(start)[1].split(end)[0]
    assert between == GENERATED[document][section](), f"{document.name} is behind the code: run `make docs`"


def test_generating_changes_nothing_outside_the_markers() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    stale = text.replace("**HALT**", "**CARRY ON**")

    assert stale != text
    assert generated(stale, SECTIONS).count("**CARRY ON**") == stale.count("**CARRY ON**") - text.count("| **HALT** |")
    assert text.count("| **HALT** |") == 1, "of the two places, one is a row of the table, the other a sentence"


def test_a_document_that_lost_a_marker_is_refused_by_name() -> None:
    text = DOCUMENT.read_text(encoding="utf-8").replace("<!-- end: limits -->\n", "")

    with pytest.raises(ValueError, match="limits"):
        generated(text, SECTIONS)


def test_every_arrow_of_the_stage_diagram_is_labelled_by_what_the_deciding_code_knows() -> None:
    arrows = re.findall(r"^    (\w+) --> (\w+): (.+)$", SECTIONS["stage-diagram"](), re.MULTILINE)
    labels = {(before, after): set(re.split(r",(?: |<br/>)", text)) for before, after, text in arrows}

    assert labels["held", "quarantined"] == {"all-refused"}
    assert "better-peer-stored" in labels["quarantined", "held"], "a `stored` from anyone reopens a quarantine"
    assert ("set_aside", "set_aside") not in labels
    assert labels["dropped", "held"] == {"redrive"}
    assert "budget-spent" in labels["held", "held"]


@each_document
def test_links_within_the_repository_lead_somewhere(path: Path) -> None:
    broken = []
    for link in LINK.findall(FENCE.sub("", path.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert broken == []


@each_document
def test_targets_of_make_that_are_named_exist(path: Path) -> None:
    code = list(code_in(path.read_text(encoding="utf-8")))
    named = {target for line in code for names in MAKE.findall(line) for target in names.split()}

    assert named - make_targets() == set()


@each_document
def test_commands_that_are_named_exist(path: Path) -> None:
    missing = []
    for line in code_in(path.read_text(encoding="utf-8")):
        for noun, verb in TOCSIN.findall(line):
            if noun not in NOUNS:
                missing.append(f"tocsin {noun}")
                continue
            verbs: Mapping[str, object] = getattr(load(noun), "commands", {})
            if verb and verbs and verb not in verbs:
                missing.append(f"tocsin {noun} {verb}")

    assert missing == []


def test_the_folder_map_names_every_package_and_every_folder_at_the_top() -> None:
    there = {
        f"service/tocsin/{path.parent.relative_to(ROOT / 'service/tocsin')}/"
        for path in (ROOT / "service" / "tocsin").glob("*/__init__.py")
    }
    there |= {
        f"{path.name}/"
        for path in ROOT.iterdir()
        if path.is_dir() and not path.name.startswith(".") and path.name not in HIDDEN and path.name != "service"
    }
    named = set(re.findall(r"^\| `([^`]+/)` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE))

    assert there <= named, "the folder map of ARCHITECTURE.md misses some"
    assert [name for name in sorted(named) if not (ROOT / name).is_dir()] == []
