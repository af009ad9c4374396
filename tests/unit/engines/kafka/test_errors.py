"""What Kafka's error codes mean: the table, row by row."""

import aiokafka.errors
import pytest

from tocsin.engines.errors import EngineError, Misconfigured, OutOfRange, Refused, Unavailable
from tocsin.engines.kafka.errors import MEANINGS, failure, meaning

OUTCOME_UNKNOWN = (-1, 2, 5, 6, 7, 8, 9, 13, 14, 15, 16, 19, 20, 27, 41, 51, 56, 74, 75, 78, 89, 100)
OF_A_PRODUCER_ID = (45, 46, 47, 49, 59)
OF_A_RECORD = (10, 18, 32, 87)
OF_THE_SET_UP = (3, 17, 22, 24, 25, 29, 30, 31, 33, 35, 37, 38, 40, 42, 44, 53, 58, 76)
EXPECTED: dict[int, type[EngineError]] = (
    dict.fromkeys(OUTCOME_UNKNOWN + OF_A_PRODUCER_ID, Unavailable)
    | dict.fromkeys(OF_A_RECORD, Refused)
    | dict.fromkeys(OF_THE_SET_UP, Misconfigured)
    | {1: OutOfRange}
)


def test_no_row_of_the_table_goes_untested() -> None:
    assert set(MEANINGS) == set(EXPECTED)


@pytest.mark.parametrize("code", sorted(EXPECTED))
def test_a_code_becomes_its_error_and_is_named_with_what_we_were_doing(code: int) -> None:
    error = failure(code, "appending to requests/3")
    assert type(error) is EXPECTED[code]
    assert str(error).startswith("appending to requests/3: ")
    assert f"Kafka's error {code}, {MEANINGS[code].name}" in str(error)


@pytest.mark.parametrize("code", sorted(EXPECTED))
def test_what_is_tried_again_is_what_may_pass(code: int) -> None:
    assert meaning(code).passes == (code in OUTCOME_UNKNOWN)


@pytest.mark.parametrize("code", sorted(EXPECTED))
def test_a_name_is_the_one_that_kafka_has_for_the_code(code: int) -> None:
    known = aiokafka.errors.kafka_errors.get(code)
    if known is None:  # newer than aiokafka's table
        assert code > max(one for one in aiokafka.errors.kafka_errors if one < 79)
    else:
        ours = MEANINGS[code].name
        assert known.message in {ours, RENAMED.get(ours)}


RENAMED = {
    "UNKNOWN_SERVER_ERROR": "UNKNOWN",
    "INVALID_TOPIC_EXCEPTION": "INVALID_TOPIC",
    "NOT_LEADER_OR_FOLLOWER": "NOT_LEADER_FOR_PARTITION",
    "MESSAGE_TOO_LARGE": "MESSAGE_SIZE_TOO_LARGE",
    "NETWORK_EXCEPTION": "STALE_LEADER_EPOCH_CODE",
}
"""Where aiokafka keeps an older name of Kafka's."""


def test_a_code_that_we_do_not_know_is_never_evidence_against_a_record() -> None:
    error = failure(9999, "appending to requests/3")
    assert type(error) is Unavailable
    assert "9999" in str(error)
