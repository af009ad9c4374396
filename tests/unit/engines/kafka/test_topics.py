"""The settings that topics are made with."""

import pytest

from tocsin.engines.kafka.topics import MESSAGE_BYTES, RECORD_BYTES_MAX, settings_of
from tocsin.engines.log import Topic


def topic(*, compacted: bool = False, retention_s: float | None = None) -> Topic:
    return Topic("t", "", 8, compacted, retention_s)


@pytest.mark.parametrize(
    ("wanted", "policy", "retention_ms"),
    [
        (topic(), "delete", "-1"),
        (topic(retention_s=3600.5), "delete", "3600500"),
        (topic(compacted=True), "compact", "-1"),
        (topic(compacted=True, retention_s=60.0), "compact,delete", "60000"),
    ],
)
def test_compaction_and_retention_are_what_was_asked_for(wanted: Topic, policy: str, retention_ms: str) -> None:
    settings = settings_of(wanted, 2)
    assert (settings["cleanup.policy"], settings["retention.ms"]) == (policy, retention_ms)
    assert settings["min.insync.replicas"] == "2"


def test_the_largest_record_fits_with_all_that_kafka_writes_around_it() -> None:
    assert int(settings_of(topic(), 1)["max.message.bytes"]) == MESSAGE_BYTES > RECORD_BYTES_MAX


def test_compaction_leaves_what_a_close_reader_has_yet_to_see_and_leaves_nothing_for_long() -> None:
    settings = settings_of(topic(compacted=True), 1)
    lag_ms = int(settings["min.compaction.lag.ms"])
    assert 10_000 <= lag_ms < int(settings["segment.ms"]) < int(settings["max.compaction.lag.ms"])
    assert "segment.ms" not in settings_of(topic(retention_s=60.0), 1)
