"""Whatever the apprise library reaches: the long tail, by URL.

The library blocks, so each call has a thread of its own, of which there are so many and no more. A call that hangs is
not waited for: its thread is lost until it ends by itself, and counted; its target is not called again before.

One instance a target, kept for its throttle and its sessions. The library says yes or no, and no may be a refusal or
an answer that did not come: so that is unknown, and tried again.
"""

import asyncio
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

from tocsin.core.paging.feedback import Outcome
from tocsin.core.paging.people import Method, MethodKind
from tocsin.engines.addresses import fault_of
from tocsin.roles.delivery.guarded import outside_only
from tocsin.roles.delivery.message import Message
from tocsin.roles.delivery.provider import Delivery, refused
from tocsin.telemetry import Bound, Meters, Reading, bound

CALL_S: Final = 20.0
TARGETS_KEPT: Final = 256


class _Target:
    """One URL. `is_busy`: a call of it has not ended, whether or not somebody waits for it."""

    def __init__(self, address: str) -> None:
        self.is_busy = False
        self._address = address
        self._service: Any = None

    def call(self, message: Message, *, allow_private: bool) -> Delivery:
        """Hands a message over. Blocks, and so does the first call of all: it loads the library's hundred plug-ins."""
        from apprise import Apprise, AppriseAsset, NotifyFormat  # noqa: PLC0415 - see above

        if self._service is None:
            if fault := fault_of(MethodKind.APPRISE, self._address):
                return refused(f"the address {fault}")
            asset = AppriseAsset(
                app_id="Tocsin", app_desc="Tocsin", storage_mode="memory", http_redirects=False, allow_templates=False
            )
            self._service = Apprise.instantiate(self._address, asset=asset)
        with outside_only(unless=allow_private) as refusals:
            took = self._service.notify(body=message.long, title=message.subject, body_format=NotifyFormat.TEXT)
        if took:
            return Delivery(Outcome.DELIVERED, "the service took it")
        if refusals:
            return refused(refusals[0])
        return Delivery(Outcome.UNKNOWN, "the service refused it, or did not answer", may_repeat=True)


class AppriseProvider:
    """Calls services by the library, at most `threads_max` at one time."""

    def __init__(self, threads_max: int, meters: Meters, *, allow_private: bool = False) -> None:
        self._threads_max = threads_max
        self._allow_private = allow_private
        self._threads = 0
        self._targets: OrderedDict[str, _Target] = OrderedDict()
        meters.watch(self._readings)

    async def deliver(self, message: Message, method: Method) -> Delivery:
        """See `Provider.deliver`."""
        target = self._target(method.address)
        if target.is_busy:
            return Delivery(Outcome.FAILED, "an earlier call to it has not ended")
        if self._threads >= self._threads_max:
            return Delivery(Outcome.FAILED, f"none of {self._threads_max} threads is free")
        try:
            async with asyncio.timeout(CALL_S):
                return await self._in_thread(target, lambda: target.call(message, allow_private=self._allow_private))
        except TimeoutError:
            return Delivery(Outcome.UNKNOWN, f"no answer within {CALL_S:.0f} s", may_repeat=True)
        except Exception as error:  # noqa: BLE001 - a hundred plug-ins, each with failures of its own
            return Delivery(Outcome.UNKNOWN, f"the plug-in ended in {type(error).__name__}", may_repeat=True)

    async def close(self) -> None:
        """There is nothing to free: threads end with their calls, or with the process."""
        self._targets.clear()

    async def _in_thread(self, target: _Target, call: Callable[[], Delivery]) -> Delivery:
        """What the call returns or raises. The thread goes on when nobody waits any more."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Delivery] = loop.create_future()

        def end(result: Delivery | Exception) -> None:
            self._threads -= 1
            target.is_busy = False
            if done.done():
                return
            if isinstance(result, Exception):
                done.set_exception(result)
            else:
                done.set_result(result)

        def work() -> None:
            result: Delivery | Exception
            try:
                result = call()
            except Exception as error:  # noqa: BLE001 - told where it was called
                result = error
            with suppress(RuntimeError):  # the loop is closed: the process ends
                loop.call_soon_threadsafe(end, result)

        self._threads += 1
        target.is_busy = True
        # As a daemon: a call that hangs must not keep the process from ending.
        threading.Thread(target=work, name="apprise", daemon=True).start()
        return await done

    def _target(self, address: str) -> _Target:
        """The target of a URL, kept."""
        name = target_name(address)
        target = self._targets.get(name)
        if target is None:
            if len(self._targets) >= TARGETS_KEPT:
                idle = next((name for name, one in self._targets.items() if not one.is_busy), name)
                self._targets.pop(idle, None)
            target = self._targets[name] = _Target(address)
        self._targets.move_to_end(name)
        return target

    def _readings(self) -> Iterator[Reading]:
        yield from bound(Bound.THREADS, self._threads, self._threads_max, kind=MethodKind.APPRISE)


def target_name(address: str) -> str:
    """What fails as one: a URL, by a hash of it, since it holds a secret."""
    return hashlib.blake2b(address.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
