"""Random bytes that are drawn in blocks are still random, each given out once, and as many as were asked for."""

import os

import pytest

from tocsin.roles.randomness import BLOCK_BYTES, RandomBytes


def test_bytes_are_as_many_as_asked_for_and_never_the_same_twice() -> None:
    random_bytes = RandomBytes()

    found = [random_bytes(8) for _ in range(3 * BLOCK_BYTES // 8)]

    assert {len(some) for some in found} == {8}
    assert len(set(found)) == len(found)


def test_a_block_of_the_operating_system_serves_many_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def draw(count: int) -> bytes:
        drawn.append(os.getrandom(count))
        return drawn[-1]

    monkeypatch.setattr("os.urandom", draw)
    random_bytes = RandomBytes()

    # 4,096 is not a multiple of 24: what is left of a block is not stretched, a new one is drawn.
    found = [random_bytes(24) for _ in range(BLOCK_BYTES // 24 + 1)]

    assert len(drawn) == 2
    assert found[0] == drawn[0][:24]
    assert found[-1] == drawn[1][:24]


def test_more_than_a_block_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 4096"):
        RandomBytes()(BLOCK_BYTES + 1)
