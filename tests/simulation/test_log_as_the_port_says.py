"""The simulated log is held to the contract of the port, by tests of the suite that all its adapters are held to.

Left out is what it has no use for: administrators who delete topics, retention by time, what messages say to people;
and ownership, which there needs real processes and here is tried by every run.
"""

import asyncio
import random
from collections.abc import Callable

import pytest

from tests.contract.test_log_fetch import (
    test_a_cancelled_fetch_leaves_the_others_waiting,
    test_a_fetch_at_the_end_returns_empty_after_its_wait,
    test_a_fetch_with_records_does_not_wait,
    test_a_waiting_fetch_wakes_when_a_record_is_appended_by,
    test_bounds_of_an_empty_partition_are_equal,
    test_bytes_max_ends_a_message_set,
    test_offset_at_finds_the_first_record_of_this_time_or_later,
    test_one_record_comes_whatever_its_size,
    test_records_max_ends_a_message_set_and_the_next_goes_on_there,
)
from tests.contract.test_log_records import (
    test_append_returns_the_first_records_offset,
    test_every_byte_and_every_emptiness_survives,
    test_partitions_keep_their_own_order_and_offsets,
    test_records_come_back_whole_and_in_order,
)
from tests.contract.test_log_topics import (
    test_a_cluster_is_the_same_for_all_who_open_it,
    test_making_a_topic_again_returns_it_as_it_is,
)
from tests.simulation.log import Records, SimLog
from tests.simulation.network import Server, Surrounding
from tocsin.engines.log import Log

__all__ = [
    "test_a_cancelled_fetch_leaves_the_others_waiting",
    "test_a_cluster_is_the_same_for_all_who_open_it",
    "test_a_fetch_at_the_end_returns_empty_after_its_wait",
    "test_a_fetch_with_records_does_not_wait",
    "test_a_waiting_fetch_wakes_when_a_record_is_appended_by",
    "test_append_returns_the_first_records_offset",
    "test_bounds_of_an_empty_partition_are_equal",
    "test_bytes_max_ends_a_message_set",
    "test_every_byte_and_every_emptiness_survives",
    "test_making_a_topic_again_returns_it_as_it_is",
    "test_offset_at_finds_the_first_record_of_this_time_or_later",
    "test_one_record_comes_whatever_its_size",
    "test_partitions_keep_their_own_order_and_offsets",
    "test_records_come_back_whole_and_in_order",
    "test_records_max_ends_a_message_set_and_the_next_goes_on_there",
]


@pytest.fixture
async def open_log() -> Callable[[], Log]:
    around = Surrounding(asyncio.get_running_loop(), random.Random(1))
    records, server = Records("a", lambda: around.now_s, session_s=0.0), Server("log", around)
    return lambda: SimLog(records, server)


@pytest.fixture
def log(open_log: Callable[[], Log]) -> Log:
    return open_log()


@pytest.fixture
async def topic(log: Log) -> str:
    await log.ensure_topic("requests", 2)
    return "requests"
