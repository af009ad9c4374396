"""Stage two: every bundle ends once, whatever its providers do."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable

import pytest
from msgspec.structs import replace

from tests.unit.roles.delivery.bundles import assignment, bundle
from tocsin.core.paging.effects import Bundle, Ended
from tocsin.core.paging.feedback import Outcome
from tocsin.core.paging.people import Method, MethodKind
from tocsin.roles.delivery import plain
from tocsin.roles.delivery.carrier import Terms
from tocsin.roles.delivery.deliveries import Deliveries, Means
from tocsin.roles.delivery.message import Message
from tocsin.roles.delivery.provider import Delivery, refused
from tocsin.telemetry import Counter, Histogram, Identity, Meters
from tocsin.telemetry.meters import Spread

MAIL = Method("mail", MethodKind.EMAIL, "ada@example.org")
HOOK = Method("hook", MethodKind.WEBHOOK, "https://hooks.example.org/ada")
TAKEN = Delivery(Outcome.DELIVERED)
DOWN = Delivery(Outcome.FAILED, "down")
NEVER = refused("no such mailbox")
QUICK = Terms(retry_first_s=0.01, call_s_max=0.2)
QUICK_AND_MANY = Terms(retry_first_s=0.01, call_s_max=0.2, per_s=100_000)


class Scripted:
    """A provider that answers as it is told, the last answer for ever; None: never."""

    def __init__(self, *answers: Delivery | None) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[str, str]] = []
        self.gate: asyncio.Event | None = None

    async def deliver(self, message: Message, method: Method) -> Delivery:
        self.calls.append((message.id, method.id))
        if self.gate is not None:
            await self.gate.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            await asyncio.Event().wait()
            raise AssertionError
        return answer

    async def close(self) -> None:
        """Nothing to free."""


class Desk:
    """Hands bundles over and waits for their ends."""

    def __init__(self, deliveries: Deliveries) -> None:
        self.deliveries = deliveries
        self.ends: list[Ended] = []
        self.wanted: Callable[[object], bool] = lambda _: True
        self._some = asyncio.Event()

    def hand_over(self, *bundles: Bundle) -> None:
        for one in bundles:
            self.deliveries.hand_over(one, self.wanted, self._ended)

    async def until(self, count: int) -> list[Ended]:
        async with asyncio.timeout(10):
            while len(self.ends) < count:
                self._some.clear()
                await self._some.wait()
        return self.ends

    def _ended(self, end: Ended) -> None:
        self.ends.append(end)
        self._some.set()


@contextlib.asynccontextmanager
async def desk(queue_max: int = 1_000, end_s_max: float = 30.0, **means: Means) -> AsyncIterator[Desk]:
    meters = Meters(Identity("a", "blue", "notifier"))
    deliveries = Deliveries(means, plain.render, meters, end_s_max=end_s_max, queue_max=queue_max)
    running = asyncio.create_task(deliveries.run())
    yield Desk(deliveries)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    await deliveries.close()


def services(calls: Iterable[tuple[str, str]], bundles: dict[str, str]) -> list[str]:
    return [bundles[id] for id, _ in calls]


async def test_what_a_provider_takes_ends_as_delivered_by_its_method() -> None:
    mail = Scripted(TAKEN)
    async with desk(email=Means(mail, QUICK)) as at:
        at.hand_over(one := bundle(methods=(MAIL,)))

        assert await at.until(1) == [Ended(one.intent.id, Outcome.DELIVERED, "mail", "")]
    assert mail.calls == [("a-1-1-ada", "mail")]


async def test_a_provider_that_is_down_is_tried_again() -> None:
    mail = Scripted(DOWN, DOWN, TAKEN)
    async with desk(email=Means(mail, QUICK)) as at:
        at.hand_over(bundle(methods=(MAIL,)))

        [end] = await at.until(1)
    assert (end.outcome, end.reason) == (Outcome.DELIVERED, "mail: down")
    assert len(mail.calls) == 3


async def test_a_method_that_fails_for_good_is_followed_by_the_next_one() -> None:
    mail, hook = Scripted(NEVER), Scripted(TAKEN)
    async with desk(email=Means(mail, QUICK), webhook=Means(hook, QUICK)) as at:
        at.hand_over(bundle(methods=(MAIL, HOOK)))

        [end] = await at.until(1)
    assert (end.outcome, end.method) == (Outcome.DELIVERED, "hook")
    assert len(mail.calls) == 1


async def test_a_page_that_no_method_brings_ends_as_failed_with_every_reason() -> None:
    async with desk(email=Means(Scripted(NEVER), QUICK), webhook=Means(Scripted(DOWN), QUICK)) as at:
        at.hand_over(bundle(methods=(MAIL, HOOK, Method("tower", "semaphore", "north"))))

        [end] = await at.until(1)
    assert (end.outcome, end.method) == (Outcome.FAILED, "")
    assert end.reason == "mail: no such mailbox; hook: down; tower: there is no provider for semaphore here"


async def test_a_call_that_does_not_end_is_unknown_and_not_repeated() -> None:
    mail, hook = Scripted(None), Scripted(TAKEN)
    async with desk(email=Means(mail, QUICK), webhook=Means(hook, QUICK)) as at:
        at.hand_over(bundle(methods=(MAIL, HOOK)))

        [end] = await at.until(1)
    assert end.outcome is Outcome.UNKNOWN
    assert (len(mail.calls), len(hook.calls)) == (1, 0)


async def test_what_the_receiver_knows_repeats_of_is_sent_again_and_stays_in_doubt_when_that_fails() -> None:
    doubt = Delivery(Outcome.UNKNOWN, "no answer", may_repeat=True)
    async with desk(webhook=Means(Scripted(doubt, TAKEN), QUICK)) as at:
        at.hand_over(bundle(methods=(HOOK,)))
        assert [end.outcome for end in await at.until(1)] == [Outcome.DELIVERED]
    async with desk(webhook=Means(Scripted(doubt, NEVER), QUICK)) as at:
        at.hand_over(bundle(methods=(HOOK,)))
        assert [end.outcome for end in await at.until(1)] == [Outcome.UNKNOWN]


async def test_nothing_is_sent_of_what_is_not_wanted_any_more() -> None:
    mail = Scripted(TAKEN)
    async with desk(email=Means(mail, QUICK)) as at:
        at.wanted = lambda _: False
        at.hand_over(bundle(methods=(MAIL,)))

        assert [end.outcome for end in await at.until(1)] == [Outcome.FAILED]
    assert mail.calls == []


async def test_a_page_whose_time_is_over_is_given_up() -> None:
    mail = Scripted(TAKEN)
    async with desk(email=Means(mail, QUICK), end_s_max=10.0) as at:
        at.hand_over(bundle(methods=(MAIL,), at_us=1))

        assert [end.outcome for end in await at.until(1)] == [Outcome.FAILED]
    assert mail.calls == []


async def test_a_provider_that_ends_in_an_error_of_ours_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Scripted):
        async def deliver(self, message: Message, method: Method) -> Delivery:
            raise KeyError(method.id)

    async with desk(email=Means(Broken(), QUICK), webhook=Means(Scripted(TAKEN), QUICK)) as at:
        at.hand_over(bundle(methods=(MAIL, HOOK)))

        assert [end.method for end in await at.until(1)] == ["hook"]
    assert "error of ours" in caplog.text


async def test_above_the_bound_a_page_ends_at_once_for_another_region_to_send() -> None:
    mail = Scripted(None)
    async with desk(queue_max=2, email=Means(mail, QUICK)) as at:
        at.hand_over(*(bundle(methods=(MAIL,), sequence=number) for number in range(3)))

        assert [(end.id.sequence, end.outcome) for end in at.ends] == [(2, Outcome.FAILED)]


async def test_a_noisy_service_does_not_delay_anothers_first_page_and_urgent_ones_go_first() -> None:
    mail = Scripted(TAKEN)
    mail.gate = asyncio.Event()
    noisy = [bundle(assignment(n, service="noisy"), methods=(MAIL,), sequence=n) for n in range(50)]
    low = bundle(assignment(90, service="calm"), methods=(MAIL,), sequence=90, urgency="low")
    quiet = bundle(assignment(99, service="quiet"), methods=(MAIL,), sequence=99)
    async with desk(email=Means(mail, Terms(at_once=1))) as at:
        at.hand_over(*noisy, low, quiet)
        await asyncio.sleep(0)
        mail.gate.set()
        await at.until(52)
    order = [id for id, _ in mail.calls]
    assert order.index("a-1-99-ada") <= 2
    assert order.index("a-1-90-ada") == 51


async def test_a_target_that_hangs_holds_up_its_own_pages_alone() -> None:
    class Slow(Scripted):
        async def deliver(self, message: Message, method: Method) -> Delivery:
            self.calls.append((message.id, method.id))
            if "slow" in method.address:
                await asyncio.Event().wait()
            return TAKEN

    slow, well = Method("m", "webhook", "https://slow/"), Method("m", "webhook", "https://well/")
    terms = Terms(at_once=8, at_once_per_target=2, call_s_max=0.3, target_of=lambda method: method.address)
    async with desk(webhook=Means(provider := Slow(), terms)) as at:
        at.hand_over(*(bundle(methods=(slow,), sequence=n) for n in range(20)))
        at.hand_over(*(bundle(methods=(well,), sequence=100 + n) for n in range(20)))
        await at.until(20)
        assert {end.outcome for end in at.ends[:20]} == {Outcome.DELIVERED}
        assert sum(int(id.split("-")[2]) >= 100 for id, _ in provider.calls) == 20


async def test_a_target_that_fails_again_and_again_is_only_probed_and_pages_go_to_the_next_method() -> None:
    mail, hook = Scripted(DOWN), Scripted(TAKEN)
    terms = Terms(retry_first_s=0.01, tries_max=2)
    async with desk(email=Means(mail, terms), webhook=Means(hook, QUICK)) as at:
        for number in range(30):
            at.hand_over(bundle(methods=(MAIL, HOOK), sequence=number))
            await at.until(number + 1)
    assert all(end.outcome is Outcome.DELIVERED and end.method == "hook" for end in at.ends)
    assert len(mail.calls) < 10


async def test_a_service_does_not_wait_behind_another_where_a_target_is_busy_either() -> None:
    mail = Scripted(TAKEN)
    mail.gate = asyncio.Event()
    terms = Terms(at_once=8, at_once_per_target=1)
    noisy = [bundle(assignment(n, service="noisy"), methods=(MAIL,), sequence=n) for n in range(50)]
    async with desk(email=Means(mail, terms)) as at:
        at.hand_over(*noisy)
        await asyncio.sleep(0.01)
        at.hand_over(bundle(assignment(99, service="quiet"), methods=(MAIL,), sequence=99))
        await asyncio.sleep(0.01)
        mail.gate.set()
        await at.until(51)
    assert [id for id, _ in mail.calls].index("a-1-99-ada") <= 3


async def test_a_page_ends_in_time_though_no_call_comes_free() -> None:
    mail = Scripted(None)
    terms = Terms(at_once=1, call_s_max=5.0)
    now_us = time.time_ns() // 1000
    async with desk(email=Means(mail, terms), end_s_max=10.0) as at:
        at.hand_over(bundle(methods=(MAIL,), sequence=1))
        await asyncio.sleep(0.01)
        at.hand_over(bundle(methods=(MAIL,), sequence=2, at_us=now_us - 8_800_000))

        [end] = await at.until(1)
    assert (end.id.sequence, end.outcome) == (2, Outcome.FAILED)
    assert end.reason == "mail: no call could be made in time"
    assert len(mail.calls) == 1


async def test_who_asks_to_be_left_alone_for_longer_than_is_of_use_is_followed_by_the_next_method() -> None:
    busy = Delivery(Outcome.FAILED, "HTTP 429", retry_after_s=3_600.0)
    hook, mail = Scripted(busy), Scripted(TAKEN)
    async with desk(webhook=Means(hook, QUICK), email=Means(mail, QUICK)) as at:
        at.hand_over(bundle(methods=(HOOK, MAIL)))

        assert [end.method for end in await at.until(1)] == ["mail"]
    assert len(hook.calls) == 1


async def test_refused_messages_do_not_keep_others_from_a_provider_that_is_well() -> None:
    greylisted = Delivery(Outcome.FAILED, "450 later", is_well=True)
    mail = Scripted(*[greylisted] * 30, TAKEN)
    async with desk(email=Means(mail, Terms(retry_first_s=0.01, tries_max=2))) as at:
        at.hand_over(*(bundle(methods=(MAIL,), sequence=n) for n in range(15)))
        await at.until(15)
        at.hand_over(bundle(methods=(MAIL,), sequence=16))
        assert (await at.until(16))[-1].outcome is Outcome.DELIVERED


async def test_a_storm_of_ten_thousand_pages_ends_whole_within_the_bound() -> None:
    mail, hook = Scripted(TAKEN), Scripted(DOWN)
    method = Method("hook", MethodKind.WEBHOOK, "https://hooks.example.org/x")
    storm = [
        bundle(assignment(n, service=f"s{n % 50}"), methods=(method, MAIL) if n % 2 else (MAIL,), sequence=n)
        for n in range(10_000)
    ]
    async with desk(queue_max=9_000, email=Means(mail, QUICK_AND_MANY), webhook=Means(hook, QUICK_AND_MANY)) as at:
        at.hand_over(*storm)
        refused = list(at.ends)
        await at.until(10_000)
    assert len(refused) == 1_000
    assert {end.reason for end in refused} == {"too many pages wait for providers here"}
    assert len({end.id.sequence for end in at.ends}) == 10_000
    assert sum(end.outcome is Outcome.DELIVERED for end in at.ends) == 9_000


async def test_how_late_a_page_is_is_told_once_a_provider_took_it() -> None:
    meters = Meters(Identity("a", "blue", "notifier"))
    mail = Scripted(DOWN, TAKEN)
    deliveries = Deliveries({"email": Means(mail, QUICK)}, plain.render, meters, end_s_max=30.0, queue_max=10)
    running = asyncio.create_task(deliveries.run())
    at = Desk(deliveries)
    one = bundle(methods=(MAIL,))
    began_us = time.time_ns() // 1_000
    at.hand_over(one._replace(intent=replace(one.intent, due_us=began_us - 7_000_000)))
    await at.until(1)
    running.cancel()

    [spread] = dict(meters.collect())[Histogram.LATE_S].values()
    assert isinstance(spread, Spread)
    assert spread.total == 1
    assert 7.0 <= spread.sum_s <= 7.0 + (time.time_ns() / 1_000 - began_us) / 1e6


async def test_how_calls_ended_is_counted_by_kind() -> None:
    meters = Meters(Identity("a", "blue", "notifier"))
    mail = Scripted(DOWN, TAKEN)
    deliveries = Deliveries({"email": Means(mail, QUICK)}, plain.render, meters, end_s_max=30.0, queue_max=10)
    running = asyncio.create_task(deliveries.run())
    at = Desk(deliveries)
    at.hand_over(bundle(methods=(MAIL,)))
    await at.until(1)
    running.cancel()

    [calls] = [series for metric, series in meters.collect() if metric is Counter.CALLS]
    assert calls == {
        (("kind", "email"), ("outcome", "failed")): 1,
        (("kind", "email"), ("outcome", "delivered")): 1,
        (("kind", "email"), ("outcome", "unknown")): 0,
    }
