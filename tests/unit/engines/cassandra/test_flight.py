"""What is in flight: bounded, answered from another thread, and quiet about callers that are gone."""

import asyncio
import threading

from tocsin.engines.cassandra.flight import Call, Flight


def answer(flight: Flight, *calls: Call) -> None:
    """Lands one request of each call from a thread, as the driver does."""

    def land() -> None:
        for call in calls:
            flight.land(call)

    thread = threading.Thread(target=land)
    thread.start()
    thread.join()


def send(flight: Flight, requests: int) -> Call:
    for _ in range(requests):
        flight.take()
    return Call(requests)


async def turn() -> None:
    """Lets whatever can go on go on."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_call_is_over_when_all_its_answers_are_there() -> None:
    flight = Flight(10)
    call = send(flight, 3)
    over = asyncio.create_task(flight.landed(call))
    await turn()
    answer(flight, call, call)
    await turn()
    assert (over.done(), flight.used) == (False, 1)
    answer(flight, call)
    await over
    assert flight.used == 0


async def test_a_call_whose_answers_came_before_anybody_waited_is_over_at_once() -> None:
    flight = Flight(10)
    call = send(flight, 1)
    answer(flight, call)
    await flight.landed(call)


async def test_nothing_is_sent_beyond_the_bound_and_who_waits_is_let_in_by_answers() -> None:
    flight = Flight(2)
    call = send(flight, 2)
    assert not flight.has_room()
    waiting = asyncio.create_task(flight.room())
    await turn()
    answer(flight, call, call)
    await waiting
    assert flight.has_room()


async def test_who_comes_later_does_not_pass_those_who_wait() -> None:
    flight = Flight(100)
    call = send(flight, 100)
    first = asyncio.create_task(flight.room())
    await turn()
    answer(flight, call)
    await turn()
    assert not first.done()  # one free place is not worth waking for
    assert not flight.has_room()
    answer(flight, *[call] * 63)
    await first
    assert flight.has_room()


async def test_all_who_wait_get_in_one_after_the_other() -> None:
    flight = Flight(1)
    call = send(flight, 1)
    order = []

    async def enter(name: int) -> None:
        await flight.room()
        order.append(name)
        mine = send(flight, 1)
        await asyncio.sleep(0)
        answer(flight, mine)

    entering = [asyncio.create_task(enter(name)) for name in range(5)]
    await turn()
    answer(flight, call)
    await asyncio.gather(*entering)
    assert sorted(order) == list(range(5))
    assert flight.used == 0


async def test_a_caller_that_is_gone_leaves_its_place_taken_until_the_answer() -> None:
    flight = Flight(1)
    call = send(flight, 1)
    gone = asyncio.create_task(flight.landed(call))
    waiting = asyncio.create_task(flight.room())
    await turn()
    gone.cancel()
    await turn()
    assert (gone.cancelled(), flight.used) == (True, 1)
    answer(flight, call)
    await waiting
    assert flight.used == 0


async def test_one_that_waits_and_goes_holds_up_nobody() -> None:
    flight = Flight(1)
    call = send(flight, 1)
    gone, waiting = asyncio.create_task(flight.room()), asyncio.create_task(flight.room())
    await turn()
    gone.cancel()
    answer(flight, call)
    await waiting


async def test_it_is_empty_when_the_last_answer_is_there() -> None:
    flight = Flight(10)
    call = send(flight, 1)
    emptying = asyncio.create_task(flight.empty())
    await turn()
    assert not emptying.done()
    answer(flight, call)
    await emptying


def test_an_answer_for_a_loop_that_was_closed_is_dropped() -> None:
    flight = Flight(10)
    call = send(flight, 1)

    async def wait_a_moment() -> None:
        task = asyncio.create_task(flight.landed(call))
        await turn()
        task.cancel()

    asyncio.run(wait_a_moment())
    answer(flight, call)
    assert flight.used == 0
