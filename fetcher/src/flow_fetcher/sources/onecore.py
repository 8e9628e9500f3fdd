"""Keeps the threads of a fetch on one core as long as that is no slower.

Python's lock lets one thread work at a time. Threads on several cores hand it over through the
kernel, several times an object; on one core whoever runs has it, and a third of the time goes away.
But from a core that others need the kernel cannot move them either: so it is tried, and timed.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import count


def current_core() -> int:
    """Return the core that the calling thread runs on; see proc(5).

    Raises:
        OSError, ValueError, IndexError: The kernel does not tell.
    """
    with open("/proc/thread-self/stat", "rb") as stat:
        return int(stat.read().rpartition(b")")[2].split()[36])


def set_cores(thread: int, cores: set[int]) -> None:
    """Let a thread run on these cores only; see sched_setaffinity(2).

    Raises:
        OSError, AttributeError: It cannot be done, or not here.
    """
    os.sched_setaffinity(thread, cores)


class OneCore:
    """The core of some threads.

    What is timed are windows of finished tasks. The second is what the threads do unbound, the
    first being used to make connections; from the third on they share a core. After two slow
    windows in a row they are let go. If the next one is slow, too, it was not the core, and they
    share one again; else the next try is eight times as far away as the last.

    Args:
        clock: Seconds.
        core: Which core the calling thread runs on.
        bind: Lets a thread run on some cores only.
    """

    window = 100
    slower = 1.5
    """A window that takes so many times as long is slow."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        core: Callable[[], int] = current_core,
        bind: Callable[[int, set[int]], None] = set_cores,
    ) -> None:
        self._clock = clock
        self._core = core
        self._bind = bind
        self._lock = threading.Lock()
        self._finished = count(1)
        self._threads: set[int] = set()
        self._all: set[int] = set()
        self._one: set[int] = set()
        self._pause = self._left = 2
        self._began = self._unbound = 0.0
        self._slow = 0
        self._suspect = 0.0

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        """Make the calling thread one of them while it works."""
        thread = threading.get_native_id()
        with self._lock:
            self._threads.add(thread)
            self._move([thread], self._one)
        try:
            yield
        finally:
            with self._lock:
                self._threads.discard(thread)

    def finished(self) -> None:
        """Note that a thread has finished a task."""
        if next(self._finished) % self.window == 0:
            with self._lock:
                now = self._clock()
                self._judge(now - self._began)
                self._began = now

    def _judge(self, took: float) -> None:
        if self._one:
            self._slow = self._slow + 1 if took > self.slower * self._unbound else 0
            if self._slow == 2:
                self._one, self._slow = set(), 0
                self._suspect, self._left = took, 1
                self._move(self._threads, self._all)
            return
        self._left -= 1
        if self._left == 0:
            suspect, self._suspect = self._suspect, 0.0
            if suspect > self.slower * took:
                self._pause *= 8
                self._left = self._pause
                return
            self._unbound = took
            with contextlib.suppress(AttributeError, OSError, ValueError, IndexError):
                self._all, self._one = os.sched_getaffinity(0), {self._core()}
            # Else this is not Linux, or a sandbox hides the core: it is not tried again.
            self._move(self._threads, self._one)

    def _move(self, threads: Iterable[int], cores: set[int]) -> None:
        if cores:
            with contextlib.suppress(AttributeError, OSError):  # a sandbox forbids it
                for thread in threads:
                    self._bind(thread, cores)
