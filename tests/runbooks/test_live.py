"""What runbooks say that commands answer is what they answer: each one that only looks is run against two regions that
run, in the state that its block speaks of, and compared in shape.
"""

import time
from collections.abc import Collection, Iterator

import pytest

from tests.runbooks.book import Command, books
from tests.runbooks.live import STATES, Live, live
from tests.runbooks.shape import fits, shape
from tests.unit.ops.alerts.made import catalogue
from tocsin.core.failures import Kind
from tocsin.core.paging.feedback import Outcome
from tocsin.core.verdict import Verdict
from tocsin.ops.alerts.catalogue import METRICS, SCRAPED, Query
from tocsin.telemetry import prometheus_name

SHOWS_S_MAX = 40.0
USAGE = 2
ORDER = ["", *STATES]


def looks() -> list[tuple[str, Command, str]]:
    """State, command and where it first stands, of every command of ours that only looks; alike ones once."""
    found: dict[tuple[str, str, tuple[str, ...]], tuple[str, Command, str]] = {}
    for book in books():
        for block in book.blocks:
            for command in block.commands:
                if not block.changes and command.text.startswith("tocsin "):
                    key = (block.when, command.text, command.sample)
                    found.setdefault(key, (block.when, command, f"{book.name}:{block.line}"))
    return sorted(found.values(), key=lambda look: ORDER.index(look[0]))


LOOKS = looks()


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(tmp_path_factory.mktemp("live")) as running:
        yield running


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("state", "command", "where"), LOOKS, ids=[f"{look[2]}: {look[1].text}" for look in LOOKS])
def test_a_command_answers_as_the_runbook_shows(regions: Live, state: str, command: Command, where: str) -> None:
    regions.enter(state)
    deadline_s = time.monotonic() + SHOWS_S_MAX
    while True:
        status, answer, told = regions.run(command.text)
        assert status != USAGE, f"{where}: {told}"
        if not command.sample or fits(command.sample, answer):
            return
        if time.monotonic() > deadline_s:
            wanted, got = "\n".join(shape(command.sample)), "\n".join(shape(answer))
            pytest.fail(f"{where}: `{command.text}` does not answer so any more:\n{wanted}\n-- but so:\n{got}\n{told}")
        time.sleep(0.5)


def test_every_state_of_which_a_sample_speaks_can_be_entered_and_is_spoken_of() -> None:
    assert {state for state, _, _ in LOOKS} == {"", *STATES}


def test_what_alerts_and_panels_ask_for_has_the_labels_that_they_ask_by(regions: Live) -> None:
    """A label that nothing has would make an alert silent for ever, and no tool that reads rules could tell."""
    regions.enter("")
    shown = regions.series()
    known: dict[str, Collection[str]] = {"kind": set(Kind), "outcome": set(Outcome), "verdict": set(Verdict)}
    found = catalogue()
    queries: list[tuple[str, Query]] = [(alert.name, one) for alert in found.alerts for one in alert.any_of]
    queries += [(panel.title, one) for board in found.dashboards for panel in board.panels for one in panel.queries]
    asked = [(where, query.metric, query.by, query.where) for where, query in queries]
    asked += [
        (
            level.name,
            level.metric,
            ("region",),
            {**level.where, level.good_label: level.good_values} if level.good_label else level.where,
        )
        for level in found.service_levels
    ]

    met = set()
    for where, metric, by, values in asked:
        name = "" if metric == SCRAPED else prometheus_name(METRICS[metric])
        series = shown.get(name, shown.get(f"{name}_count", []))
        if not series:
            continue  # what takes a backlog or a watcher outside: tests/acceptance/test_metrics.py names them
        met.add(metric)
        labels = set.intersection(*(set(one) for one in series))
        assert {*by, *values} <= labels, f"{where}: {metric} has {sorted(labels)}"
        for label, some in values.items():
            seen = {one[label] for one in series} | set(known.get(label, ()))
            assert set(some) - {"3xx", "4xx"} <= seen, f"{where}: {metric} has no {label} of {some}"
    assert len(met) > 25, "the metrics were found at all"
