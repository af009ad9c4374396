"""The rules of the fault switch: their file, who sees them when, and what is refused."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from tocsin.engines.errors import Misconfigured
from tocsin.engines.faults import CHECK_EVERY_S, Fault, FaultSwitch, Rule


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "local" / "faults.json"


@pytest.fixture
def switch(path: Path) -> FaultSwitch:
    return FaultSwitch(path)


def rule(kind: Fault, **more: Any) -> Rule:
    fields: dict[str, Any] = {"id": "broken", "region": "a", "port": "store", "kind": kind, "delay_s": 0.01}
    return Rule(**fields | more)


def test_an_absent_file_means_no_faults(switch: FaultSwitch, path: Path) -> None:
    assert switch.rules() == ()
    assert switch.active("a", "store", "write") == ()
    assert not path.exists()


def test_rules_are_set_replaced_and_cleared_by_id_in_order(switch: FaultSwitch) -> None:
    first, second = rule(Fault.REFUSE, id="one"), rule(Fault.CUT, id="two", port="mirror", peer="b", times=3)
    switch.set_rule(rule(Fault.DELAY, id="one"))
    switch.set_rule(second)
    switch.set_rule(first)

    assert switch.rules() == (second, first)
    assert switch.clear("two") is True
    assert switch.clear("two") is False
    assert switch.rules() == (first,)
    switch.clear_all()
    assert switch.rules() == ()


def test_clearing_an_unknown_id_touches_no_file(switch: FaultSwitch, path: Path) -> None:
    switch.set_rule(rule(Fault.CUT))
    before = path.read_bytes()

    assert switch.clear("../faults.json") is False

    assert path.read_bytes() == before


def test_other_processes_see_a_rule_at_their_next_look(path: Path, switch: FaultSwitch) -> None:
    now = [0.0]
    other = FaultSwitch(path, monotonic=lambda: now[0])
    assert other.active("a", "store", "write") == ()

    switch.set_rule(rule(Fault.REFUSE))
    assert other.active("a", "store", "write") == ()
    now[0] += CHECK_EVERY_S
    assert other.active("a", "store", "write") == (rule(Fault.REFUSE),)

    switch.clear_all()
    now[0] += CHECK_EVERY_S
    assert other.active("a", "store", "write") == ()


def test_a_rule_is_for_its_region_port_operation_and_peer(switch: FaultSwitch) -> None:
    one_way = rule(Fault.CUT, port="mirror", op="read", peer="b")
    switch.set_rule(one_way)

    assert switch.active("a", "mirror", "read", "b") == (one_way,)
    assert switch.active("b", "mirror", "read", "a") == ()
    assert switch.active("a", "mirror", "read", "c") == ()
    assert switch.active("a", "mirror", "write", "b") == ()
    assert switch.active("a", "log", "read") == ()


def test_a_rule_that_could_never_do_what_it_says_names_the_field(path: Path, switch: FaultSwitch) -> None:
    path.parent.mkdir()
    good = {"id": "x", "region": "a", "port": "store", "kind": "refuse"}
    for wrong, name in (
        ({"port": "disk"}, "port"),
        ({"kind": "explode"}, "kind"),
        ({"delay": 1}, "delay"),
        ({"delay_s": -1}, "delay_s"),
        ({"delay_s": "1"}, "delay_s"),
        ({"times": 0}, "times"),
        ({"id": "a/b"}, "id"),
        ({"peer": "b"}, "peer"),
        ({"kind": "repeat"}, "repeat"),
        ({"kind": "crash", "op": "read"}, "crash"),
    ):
        path.write_text(json.dumps([good | wrong]), encoding="utf-8")
        with pytest.raises(Misconfigured, match=rf"faults\.json does not hold fault rules.*{name}"):
            switch.rules()


def test_a_file_that_cannot_be_read_leaves_the_last_good_rules_in_force_and_is_logged_once(
    path: Path, switch: FaultSwitch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    reader = FaultSwitch(path, monotonic=lambda: now[0])
    switch.set_rule(rule(Fault.REFUSE))
    assert reader.active("a", "store", "write") == (rule(Fault.REFUSE),)

    path.write_bytes(b"[{")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            now[0] += CHECK_EVERY_S
            assert reader.active("a", "store", "write") == (rule(Fault.REFUSE),)

    assert [record.message.count("does not hold fault rules") for record in caplog.records] == [1]
    with pytest.raises(Misconfigured):
        switch.set_rule(rule(Fault.CUT))
    switch.clear_all()
    now[0] += CHECK_EVERY_S
    assert reader.active("a", "store", "write") == ()


def test_a_bound_counts_over_processes_and_anew_when_the_rule_is_set_again(path: Path, switch: FaultSwitch) -> None:
    other = FaultSwitch(path)
    bounded = rule(Fault.REFUSE, times=2)
    switch.set_rule(bounded)

    assert [switch.take(bounded), other.take(bounded), switch.take(bounded), other.take(bounded)] == [
        True,
        True,
        False,
        False,
    ]
    switch.set_rule(bounded)
    assert other.take(bounded)


def test_a_rule_that_no_file_could_hold_is_not_written(switch: FaultSwitch) -> None:
    with pytest.raises(ValueError, match="port"):
        switch.set_rule(rule(Fault.CUT, port="disk"))
    with pytest.raises(ValueError, match="times"):
        rule(Fault.CUT, times=0)

    assert switch.rules() == ()
