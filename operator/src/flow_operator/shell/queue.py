"""A work queue of keys: no key is lost, none is worked on twice at the same time."""

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from itertools import count
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)

LATER = -1.0
"""When to work on a key that others go before."""

PATIENCE = 10.0
"""For how many seconds a key lets others go first."""

_FEW = 2
"""So many keys that go first leave the API server time for the rest."""

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait after errors: twice as long each time, with jitter."""

    first: float = 0.2
    longest: float = 60.0

    def delay(self, failures: int) -> float:
        """Return the seconds to wait after that many failures in a row."""
        exact = min(self.first * 2.0 ** min(failures - 1, 32), self.longest)
        return exact * random.uniform(0.75, 1.0)  # noqa: S311 - jitter


class WorkQueue(Generic[K]):
    """Calls a handler with keys, several at a time.

    What it promises, for each key:
        - After `add` the handler starts at least once more, however busy the key is.
        - The handler never runs twice at the same time.
        - Any number of `add`s before the handler starts are one.
        - With several times to look again, the earliest counts; once the handler has started,
          earlier wishes are done with, for it looks at everything and says when to look again.
        - When the handler fails, it is called again after a while, longer each time.
        - Before a key that was added as `LATER` others go, for as long as `PATIENCE`: it is not
          begun while more than a few of them wait or are being worked on, for all of them ask the
          same API server. So does whoever acts on what was made meanwhile, as the Job controller
          does; therefore only a few such keys are worked on at the same time.

    Args:
        handle: Works on a key; returns in how many seconds to look again, or None.
        workers: How many keys are worked on at the same time.
        later_workers: How many of them may be such that were added as `LATER`.
        backoff: How long to wait after errors.
        expected: Errors that are logged without a traceback.
    """

    def __init__(
        self,
        handle: Callable[[K], Awaitable[float | None]],
        *,
        workers: int = 32,
        later_workers: int = 4,
        backoff: Backoff | None = None,
        expected: tuple[type[Exception], ...] = (),
    ) -> None:
        self._handle = handle
        self._workers = workers
        self._later_workers = later_workers
        self._backoff = backoff or Backoff()
        self._expected = expected
        self._ready: asyncio.PriorityQueue[tuple[bool, int, K]] = asyncio.PriorityQueue()
        self._parked: deque[tuple[bool, int, K]] = deque()  # taken from _ready too early
        self._waiting: dict[K, int] = {}  # the keys in both, by their valid ticket
        self._last: set[K] = set()  # those of them that let others go first
        self._tickets = count()
        self._running: dict[K, float] = {}  # since when
        self._running_later = 0
        self._again: dict[K, bool] = {}  # added while running; whether others go first
        self._postponed: dict[K, float] = {}  # since when
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._closed = False
        self._at_rest = asyncio.Event()
        self._at_rest.set()

    def add(self, key: K, after: float = 0.0) -> None:
        """Have the key worked on: now, in a number of seconds, or `LATER`, after other keys."""
        if self._closed:
            return
        if after > 0:
            if key not in self._waiting or key in self._last:
                self._add_later(key, after)
        elif key in self._running:
            last = after == LATER and self._again.get(key, True)
            self._again[key] = last
        elif key not in self._waiting or (key in self._last and after != LATER):
            self._line_up(key, last=after == LATER)

    def postpone(self, key: K) -> bool:
        """Add a key that is being worked on as `LATER` if others go before such; tell whether.

        A key that has been put off for long enough is not put off again.
        """
        now = asyncio.get_running_loop().time()
        since = self._postponed.setdefault(key, now)
        if not self._is_crowded() or now - since >= PATIENCE:
            del self._postponed[key]
            return False
        self.add(key, LATER)
        return True

    def _is_crowded(self) -> bool:
        """Tell whether more than a few keys wait or are worked on that others let go first."""
        waiting = len(self._waiting) - len(self._last)
        return waiting + len(self._running) - self._running_later > _FEW

    def _line_up(self, key: K, *, last: bool) -> None:
        ticket = next(self._tickets)
        self._waiting[key] = ticket  # one that it had is void
        if last:
            self._last.add(key)
            self._add_later(key, PATIENCE)
        else:
            self._last.discard(key)
            self._drop_timer(key)
        self._ready.put_nowait((last, ticket, key))

    def catch_up(self, seconds: float) -> None:
        """Have what is to be worked on later worked on so much sooner: the clock went ahead."""
        due = {key: timer.when() for key, timer in self._timers.items()}
        now = asyncio.get_running_loop().time()
        for key, when in due.items():
            self._add_later(key, max(when - seconds - now, 0.0))

    async def run(self) -> None:
        """Work until cancelled; what is being worked on then is cancelled, too."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._workers):
                group.create_task(self._work(), name=f"worker {number}")

    async def close(self, grace: float) -> None:
        """Take no more keys, and wait a little for those that are being worked on."""
        self._closed = True
        for key in list(self._timers):
            self._drop_timer(key)
        self._again.clear()
        self._waiting.clear()
        self._last.clear()
        self._parked.clear()
        self._postponed.clear()
        while not self._ready.empty():
            self._ready.get_nowait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._at_rest.wait()

    def __len__(self) -> int:
        """How many keys wait for a worker."""
        return len(self._waiting) + len(self._again)

    def longest_run(self) -> tuple[float, K | None]:
        """Return for how many seconds the slowest key has been worked on, and which it is."""
        if not self._running:
            return 0.0, None
        key = min(self._running, key=self._running.__getitem__)
        return asyncio.get_running_loop().time() - self._running[key], key

    async def _work(self) -> None:
        while True:
            later, ticket, key = entry = await self._ready.get()
            if self._waiting.get(key) != ticket:
                self._unpark()
                continue
            if later and (self._running_later == self._later_workers or self._is_crowded()):
                self._parked.append(entry)
                continue
            del self._waiting[key]
            self._last.discard(key)
            self._running[key] = asyncio.get_running_loop().time()
            self._running_later += later
            self._at_rest.clear()
            self._drop_timer(key)  # what it was set for is looked at now
            try:
                after = await self._handle(key)
            except Exception as error:
                after = self._failed(key, error)
                failed = True
            else:
                self._failures.pop(key, None)
                failed = False
            finally:
                del self._running[key]
                self._running_later -= later
                self._unpark()
                if not self._running:
                    self._at_rest.set()
            last = self._again.pop(key, None)
            if not last:
                self._postponed.pop(key, None)
            if last is not None and not failed:  # else it waits its turn
                self.add(key, LATER if last else 0.0)
            if after is not None:
                self.add(key, after)

    def _unpark(self) -> None:
        """Give the next keys that were taken too early another chance, once there is room."""
        if not self._is_crowded():
            for _ in range(min(self._later_workers - self._running_later, len(self._parked))):
                self._ready.put_nowait(self._parked.popleft())

    def _failed(self, key: K, error: Exception) -> float:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay = max(self._backoff.delay(failures), getattr(error, "retry_after", None) or 0.0)
        logger.warning(
            "%s: %s (again in %.1f s)",
            key,
            str(error) or type(error).__name__,
            delay,
            exc_info=None if isinstance(error, self._expected) else error,
        )
        return delay

    def _add_later(self, key: K, after: float) -> None:
        loop = asyncio.get_running_loop()
        due, timer = loop.time() + after, self._timers.get(key)
        if timer and timer.when() <= due:
            return
        self._drop_timer(key)
        self._timers[key] = loop.call_later(after, self._is_due, key)

    def _is_due(self, key: K) -> None:
        del self._timers[key]
        self.add(key)

    def _drop_timer(self, key: K) -> None:
        if timer := self._timers.pop(key, None):
            timer.cancel()
