"""A drill as its file has it: Chaos Toolkit's shape and words, and four of ours.

    title, description, tags            what it is about, for people
    configuration                       values that `${name}` stands for below
    controls                            `load`: how much enters all the while
    steady-state-hypothesis             title, and probes with tolerances: what must hold before, and after
    method                              actions, and probes with tolerances for what users see while it is broken
    rollbacks                           actions that heal
    runbook, alerts                     what a person reads about it, and what should have called that person
    evidence                            probes that fail before the fault and hold while it lasts
    aborts                              probes that must hold throughout: else the drill ends at once, and heals
    limits                              detect_s, page_s, recover_s, converge_s

An activity is `{name, type, provider: {type: tocsin, func, arguments}, tolerance, pauses: {before, after}}`. All faults
of a file are told at once, each with its field: a drill that does not fit is refused before anything is touched.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tocsin.config import ConfigError, Problem, load_yaml, nearest
from tocsin.ops.drills import tolerance
from tocsin.ops.drills.actions import ACTIONS
from tocsin.ops.drills.probes import PROBES
from tocsin.ops.drills.registry import Registry

NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,47}\Z")
PAUSE_S_MAX: Final = 600.0
LIMIT_S_MAX: Final = 3_600.0
LOAD_PER_S_MAX: Final = 100.0
_REFERENCE: Final = re.compile(r"\$\{([a-z_]+)\}\Z")


@dataclass(frozen=True, slots=True)
class Activity:
    """A probe or an action of the file. `tolerance` is a probe's; pauses are in seconds."""

    name: str
    func: str
    arguments: Mapping[str, Any]
    is_probe: bool
    tolerance: Any = None
    before_s: float = 0.0
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """What the hypothesis claims, in seconds: from the last action to the evidence, from an alert's acceptance to its
    page at worst, from the healing (or, where nothing needs healing, the last action) to the steady state, and to
    agreement.
    """

    detect_s: float
    page_s: float
    recover_s: float
    converge_s: float


@dataclass(frozen=True, slots=True)
class Drill:
    """A drill that can be run: every name in it is known and every argument fits."""

    name: str
    title: str
    description: str
    tags: tuple[str, ...]
    hypothesis: str
    steady_state: tuple[Activity, ...]
    method: tuple[Activity, ...]
    rollbacks: tuple[Activity, ...]
    evidence: tuple[Activity, ...]
    aborts: tuple[Activity, ...]
    limits: TimeLimits
    runbook: str
    alerts: tuple[str, ...]
    events_per_s: float
    configuration: Mapping[str, Any] = field(default_factory=dict)


def load_drills(folder: Path) -> list[Drill]:
    """All drills of a folder, by name; raises ConfigError with the faults of all files."""
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise ConfigError([Problem(str(folder), "", "holds no drills (*.yaml)")])
    drills: list[Drill] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            drills.append(load_drill(path))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return drills


def load_drill(path: Path) -> Drill:
    """The drill of a file; raises ConfigError that names every field at fault."""
    reading = _Reading(str(path), load_yaml(path))
    drill = reading.drill(path.stem)
    if reading.problems:
        raise ConfigError(reading.problems)
    return drill


class _Reading:
    """Reads one file, and collects what is wrong with it."""

    FIELDS: Final = (
        *("title", "description", "tags", "configuration", "controls", "steady-state-hypothesis", "method"),
        *("rollbacks", "runbook", "alerts", "limits", "evidence", "aborts"),
    )
    OF_ACTIVITY: Final = ("name", "type", "provider", "tolerance", "pauses")
    OF_LIMITS: Final = ("detect_s", "page_s", "recover_s", "converge_s")

    def __init__(self, where: str, content: Mapping[Any, Any]) -> None:
        self.problems: list[Problem] = []
        self._where = where
        self._content = content
        self._configuration: Mapping[str, Any] = {}

    def drill(self, name: str) -> Drill:
        """The drill; it is one only if there are no problems afterwards."""
        content = self._content
        if not NAME.match(name):
            self._wrong("", f"the file's name {name!r} is the drill's: letters, digits and - in lower case")
        self._known("", content, self.FIELDS)
        self._configuration = self._mapping("configuration", content.get("configuration", {}))
        hypothesis = self._mapping("steady-state-hypothesis", content.get("steady-state-hypothesis"))
        self._known("steady-state-hypothesis", hypothesis, ("title", "probes"))
        method = self._activities("method", content.get("method"))
        rollbacks = self._activities("rollbacks", content.get("rollbacks"), may_be_empty=True)
        self._check_healed(method, rollbacks)
        return Drill(
            name=name,
            title=self._text("title", content.get("title")),
            description=self._text("description", content.get("description")),
            tags=self._texts("tags", content.get("tags")),
            hypothesis=self._text("steady-state-hypothesis.title", hypothesis.get("title")),
            steady_state=self._probes("steady-state-hypothesis.probes", hypothesis.get("probes")),
            method=method,
            rollbacks=rollbacks,
            evidence=self._probes("evidence", content.get("evidence")),
            aborts=self._probes("aborts", content.get("aborts")),
            limits=self._limits(content.get("limits")),
            runbook=self._text("runbook", content.get("runbook")),
            alerts=self._texts("alerts", content.get("alerts")),
            events_per_s=self._load(content.get("controls")),
            configuration=self._configuration,
        )

    # Activities --------------------------------------------------------------------------------------------------

    def _probes(self, field: str, given: Any) -> tuple[Activity, ...]:
        found = self._activities(field, given)
        for number, activity in enumerate(found):
            if not activity.is_probe:
                self._wrong(f"{field}[{number}].type", "only probes stand here: they look, and change nothing")
        return found

    def _activities(self, field: str, given: Any, *, may_be_empty: bool = False) -> tuple[Activity, ...]:
        if not isinstance(given, list) or not (given or may_be_empty):
            self._wrong(field, "expected a list of activities" + ("" if may_be_empty else ", with at least one"))
            return ()
        return tuple(self._activity(f"{field}[{number}]", one) for number, one in enumerate(given))

    def _activity(self, field: str, given: Any) -> Activity:
        form = self._mapping(field, given)
        self._known(field, form, self.OF_ACTIVITY)
        kind = form.get("type")
        if kind not in ("probe", "action"):
            self._wrong(f"{field}.type", f"expected probe or action, is {kind!r}")
        is_probe = kind == "probe"
        func, arguments = self._provider(f"{field}.provider", form.get("provider"), PROBES if is_probe else ACTIONS)
        if is_probe and (fault := tolerance.fault_of(form.get("tolerance"))):
            self._wrong(f"{field}.tolerance", fault)
        elif kind == "action" and "tolerance" in form:
            self._wrong(f"{field}.tolerance", "an action has no value that could be within a tolerance")
        pauses = self._mapping(f"{field}.pauses", form.get("pauses", {}))
        self._known(f"{field}.pauses", pauses, ("before", "after"))
        return Activity(
            name=self._text(f"{field}.name", form.get("name")),
            func=func,
            arguments=arguments,
            is_probe=is_probe,
            tolerance=form.get("tolerance"),
            before_s=self._seconds(f"{field}.pauses.before", pauses.get("before", 0), PAUSE_S_MAX),
            after_s=self._seconds(f"{field}.pauses.after", pauses.get("after", 0), PAUSE_S_MAX),
        )

    def _provider(self, field: str, given: Any, registry: Registry) -> tuple[str, Mapping[str, Any]]:
        form = self._mapping(field, given)
        self._known(field, form, ("type", "func", "arguments"))
        if form.get("type") != "tocsin":
            self._wrong(f"{field}.type", f"expected tocsin (a function of our own), is {form.get('type')!r}")
        func = form.get("func")
        given_arguments = self._mapping(f"{field}.arguments", form.get("arguments", {}))
        arguments = {name: self._resolved(f"{field}.arguments.{name}", it) for name, it in given_arguments.items()}
        if not isinstance(func, str) or func not in registry:
            self._wrong(f"{field}.func", f"there is no {func!r}{nearest(str(func), registry)}")
            return str(func), arguments
        for name, why in registry[func].faults(arguments):
            self._wrong(f"{field}.arguments.{name}", why)
        return func, arguments

    def _resolved(self, field: str, value: Any) -> Any:
        found = _REFERENCE.match(value) if isinstance(value, str) else None
        if found is None:
            return value
        if found[1] not in self._configuration:
            self._wrong(field, f"there is no {found[1]!r} in configuration{nearest(found[1], self._configuration)}")
        return self._configuration.get(found[1])

    def _check_healed(self, method: Iterable[Activity], rollbacks: Sequence[Activity]) -> None:
        """Whatever the method breaks, a rollback mends."""
        mended = [(one.func, dict(one.arguments)) for one in rollbacks]
        for number, activity in enumerate(method):
            if activity.is_probe or activity.func not in ACTIONS:
                continue
            undoing = ACTIONS[activity.func].undoing(activity.arguments, ACTIONS)
            if undoing is not None and undoing not in mended:
                given = ", ".join(f"{name}: {value}" for name, value in undoing[1].items())
                self._wrong(f"method[{number}]", f"nothing heals it: rollbacks needs {undoing[0]} with {{{given}}}")

    # Fields ------------------------------------------------------------------------------------------------------

    def _limits(self, given: Any) -> TimeLimits:
        form = self._mapping("limits", given)
        self._known("limits", form, self.OF_LIMITS)
        found = {name: self._seconds(f"limits.{name}", form.get(name), LIMIT_S_MAX) for name in self.OF_LIMITS}
        return TimeLimits(**found)

    def _load(self, given: Any) -> float:
        """The one control there is: `[{name: load, events_per_s: 4}]`."""
        match given:
            case [{"name": "load", "events_per_s": int() | float() as rate, **rest}] if not rest:
                if 0 < rate <= LOAD_PER_S_MAX:
                    return float(rate)
        self._wrong("controls", f"expected [{{name: load, events_per_s: N}}], N above 0, at most {LOAD_PER_S_MAX:g}")
        return 1.0

    def _seconds(self, field: str, value: Any, seconds_max: float) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= seconds_max:
            self._wrong(field, f"expected seconds, 0 to {seconds_max:g}, is {value!r}")
            return 0.0
        return float(value)

    def _text(self, field: str, value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            self._wrong(field, f"expected a text, is {value!r}")
            return ""
        return value.strip()

    def _texts(self, field: str, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not value or not all(isinstance(one, str) and one for one in value):
            self._wrong(field, f"expected a list of words, is {value!r}")
            return ()
        return tuple(value)

    def _mapping(self, field: str, value: Any) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            self._wrong(field, f"expected a mapping, is {value!r}")
            return {}
        return value

    def _known(self, field: str, form: Mapping[Any, Any], known: Sequence[str]) -> None:
        for name in form:
            if name not in known:
                self._wrong(f"{field}.{name}" if field else str(name), f"no such field{nearest(str(name), known)}")

    def _wrong(self, field: str, what: str) -> None:
        self.problems.append(Problem(self._where, field, what))
