"""The report of a run: JSON for machines, and one page for people, with the timeline drawn and nothing to load."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import tocsin
from tocsin.ops.drills.clock import utc
from tocsin.ops.drills.drawing import draw
from tocsin.ops.drills.run import Run

FORMAT: Final = 1
TEMPLATES: Final = Path(__file__).parent / "templates"
RUNBOOKS: Final = "../../../runbooks"
"""As seen from `build/drills/<drill>/`."""


def code_version() -> str:
    """The version, and a digest of the code that runs: a release and a tree with one line changed are told apart."""
    digest = hashlib.sha256()
    root = Path(tocsin.__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return f"{tocsin.__version__}+{digest.hexdigest()[:12]}"


def fields(run: Run, made_of: str) -> dict[str, Any]:
    """What report.json says."""
    drill, row = run.drill, run.row
    measured = run.measured
    return {
        "format": FORMAT,
        "drill": drill.name,
        "verdict": row.verdict.value,
        "row": row.name,
        "why": row.why,
        "because": run.because,
        "title": drill.title,
        "hypothesis": drill.hypothesis,
        "runbook": drill.runbook,
        "alerts": [asdict(one) | {"in_words": one.in_words} for one in run.alerts],
        "tags": list(drill.tags),
        "target": run.target,
        "code": made_of,
        "configuration": dict(drill.configuration) | {"events_per_s": drill.events_per_s},
        "identity": dict(run.identity),
        "seed": None,
        "began": utc(run.times.began_s),
        "seconds": round((run.times.ended_s or run.times.began_s) - run.times.began_s, 1),
        "times": {name: {"limit": getattr(drill.limits, name), "measured": measured[name]} for name in measured},
        "requests": asdict(run.account.requests),
        "pages": asdict(run.account.pages),
        "harm": list(run.account.harm),
        "facts": asdict(run.facts),
        "evidence": [asdict(reading) for reading in run.evidence.values()],
        "during": [asdict(reading) for reading in run.during],
        "rounds": [
            {"name": one.name, "at": utc(one.at_s), "held": one.held, "readings": [asdict(it) for it in one.readings]}
            for one in run.rounds
        ],
        "timeline": [
            {"at": utc(one.at_s), "kind": one.kind.value, "text": one.text, "source": one.source} for one in run.moments
        ],
    }


def write(run: Run, folder: Path, made_of: str) -> None:
    """Writes report.json and report.html; raises OSError."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - heavy, and for reports alone

    folder.mkdir(parents=True, exist_ok=True)
    told = fields(run, made_of)
    (folder / "report.json").write_text(json.dumps(told, indent=2, default=str) + "\n")
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    page = environment.get_template("report.html.j2").render(
        report=told, drawing=draw(run), description=run.drill.description, runbook=f"{RUNBOOKS}/{run.drill.runbook}.md"
    )
    (folder / "report.html").write_text(page)
