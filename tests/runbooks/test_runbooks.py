"""Runbooks are true: of alerts and drills there are, with commands that exist. What is renamed elsewhere fails here."""

import dataclasses
from collections.abc import Callable

import pytest

from tests.runbooks.book import Book
from tests.runbooks.rules import RULES, World, problems, world
from tocsin.ops.alerts.catalogue import Catalogue
from tocsin.ops.status.signs import SIGNS

HALTED = "TocsinRegionHalted.md"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_runbooks_alerts_and_drills_keep_the_rule_of(rule: Callable[[World], list[str]]) -> None:
    assert list(rule(world())) == []


def test_what_status_points_at_is_an_alert_as_grave_as_status_says() -> None:
    alerts = world().alerts

    for sign in SIGNS:
        assert sign.alert in alerts
        assert sign.severity == alerts[sign.alert].severity, sign.alert
        assert sign.runbook == alerts[sign.alert].runbook


def test_runbooks_were_found_with_commands_samples_and_changes() -> None:
    blocks = [block for book in world().runbooks for block in book.blocks]

    assert len(world().runbooks) == len(world().alerts) > 20
    assert sum(block.changes for block in blocks) > 20
    assert sum(bool(command.sample) for block in blocks for command in block.commands) > 40
    assert len({block.when for block in blocks}) > 5


# What is renamed or forgotten is noticed -----------------------------------------------------------------------------


def edited(now: World, name: str, old: str, new: str) -> World:
    """With another text in one of the books."""
    assert any(old in book.text for book in now.books if book.name == name), old
    changed = [Book(book.name, book.text.replace(old, new)) if book.name == name else book for book in now.books]
    return dataclasses.replace(now, books=changed)


def without_alert(now: World, name: str) -> World:
    return dataclasses.replace(now, alerts={key: alert for key, alert in now.alerts.items() if key != name})


def without_drill(now: World, name: str) -> World:
    return dataclasses.replace(now, drills={key: drill for key, drill in now.drills.items() if key != name})


def without_book(now: World, name: str) -> World:
    return dataclasses.replace(now, books=[book for book in now.books if book.name != name])


def with_drill(now: World, **content: object) -> World:
    return dataclasses.replace(now, drills={**now.drills, "made-up": content})


LONG = "\n".join("more" for _ in range(121))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        pytest.param(lambda now: edited(now, HALTED, "$ tocsin verify", "$ tocsin compare"), "tocsin compare: no such"),
        pytest.param(lambda now: edited(now, HALTED, "ledger explain", "ledger why"), "tocsin ledger why: no such"),
        pytest.param(lambda now: edited(now, HALTED, "--why", "--reason"), "No such option: --reason"),
        pytest.param(lambda now: edited(now, HALTED, "explain KEY", "explain"), "Missing argument"),
        pytest.param(
            lambda now: edited(now, HALTED, "`tocsin region join b`", "`tocsin region undo b`"), "region undo"
        ),
        pytest.param(lambda now: edited(now, HALTED, "console change", "console"), "the fence says otherwise"),
        pytest.param(lambda now: edited(now, HALTED, "```console\n", "```console change\n"), "only looks"),
        pytest.param(lambda now: edited(now, HALTED, "```console when=halted\n", "```sh\n"), "a block of sh"),
        pytest.param(
            lambda now: edited(now, "TocsinRoleDown.md", "status tocsin@notifier", "status tocsin@pager"),
            "no such role",
        ),
        pytest.param(
            lambda now: edited(now, "TocsinRoleDown.md", "$ tocsin status --region b", "$ tocsin region drain b"),
            "TocsinRoleDown.md, line",
        ),
        pytest.param(lambda now: edited(now, HALTED, "## Escalation", "## Who to call"), "its sections are"),
        pytest.param(lambda now: edited(now, HALTED, "## Impact", LONG + "\n## Impact"), "more than 120"),
        pytest.param(lambda now: edited(now, HALTED, "severity: page", "severity: ticket"), "severity is 'ticket'"),
        pytest.param(lambda now: edited(now, HALTED, "TocsinReleaseStoresRubbish.md", "Rubbish.md"), "leads nowhere"),
        pytest.param(lambda now: edited(now, HALTED, "## Impact", "`tocsin.creator.stopped`\n## Impact"), "the metric"),
        pytest.param(lambda now: without_alert(now, "TocsinRegionHalted"), "TocsinRegionHalted.md: no alert has this"),
        pytest.param(lambda now: without_alert(now, "TocsinRegionHalted"), "store-refuses-some.yaml: names"),
        pytest.param(lambda now: without_book(now, HALTED), "TocsinRegionHalted: the alert has no runbook"),
        pytest.param(lambda now: without_book(now, HALTED), "the link TocsinRegionHalted.md leads nowhere"),
        pytest.param(lambda now: without_drill(now, "store-refuses-some"), "chaos/store-refuses-some.yaml does not"),
        pytest.param(lambda now: with_drill(now, runbook="TocsinMadeUp"), "chaos/made-up.yaml: names 'TocsinMadeUp'"),
        pytest.param(lambda now: with_drill(now, runbook="TocsinBacklog"), "made-up: is a drill of TocsinBacklog"),
        pytest.param(lambda now: with_drill(now, title="of nothing"), "chaos/made-up.yaml: names None"),
        pytest.param(
            lambda now: edited(
                now,
                HALTED,
                "$ tocsin verify\n",
                "$ tocsin region ls\n```\n\n```console change\n$ tocsin send trigger "
                "--summary x --source x --severity info\n",
            ),
            "no look follows",
        ),
    ],
)
def test_is_noticed(change: Callable[[World], World], what: str) -> None:
    found = problems(change(world()))

    assert any(what in problem for problem in found), found


def test_a_metric_that_is_renamed_makes_the_catalogue_unreadable() -> None:
    """As `tests/unit/ops/alerts/test_catalogue.py` shows, field by field; here, that it is so for every alert."""
    now = Catalogue(service_levels=(), alerts=tuple(world().alerts.values()), dashboards=())

    assert not [what for field, what in now.faults() if field.endswith("metric")]
    for alert in now.alerts:
        for condition in alert.any_of:
            renamed = type(condition)(
                **{field: getattr(condition, field) for field in condition.__struct_fields__} | {"metric": "x"}
            )
            assert any(field == "metric" for field, _ in renamed.faults()), alert.name
