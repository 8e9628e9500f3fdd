"""Threads that work off tasks: more of them where answers take long, so many tasks that wait and no
more, and the first error ends them all."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from flow_fetcher.sources.onecore import OneCore
from flow_fetcher.tree import FileSink

_WAITING = 1000
"""How many tasks wait at most: a page of a listing, so that the next one is asked for meanwhile."""
_REFILL = _WAITING // 2
"""So many are left when who hands them over goes on: one at a time would be a switch of threads for
each."""


class Pace:
    """How many requests to have under way: as many as can be dealt with while one travels.

    The quickest answer tells how far the server is. A busy server's are slow, too, but ask for
    fewer requests and not for more; so are the first, for which connections have to be made. A
    server that has too much to do, and says so, is asked half as much.

    Attributes:
        count: At the moment.
    """

    fewest, most = 16, 128
    a_second = 4000
    """Answers that one core deals with."""
    patience = 20.0
    """For so many seconds a server may refuse everything."""

    def __init__(self) -> None:
        self.count = self.fewest
        self._most = self.most
        self._answers = 0
        self._quickest = float("inf")
        self._last = self._slowed = time.monotonic()

    def answered(self, begun: float) -> int:
        """Learn of an answer to a request that was begun then; the count."""
        self._last = time.monotonic()
        self._quickest = min(self._quickest, self._last - begun)
        self._answers += 1
        if self._answers > 2 * self.fewest:
            wanted = max(self.fewest, round(self._quickest * self.a_second))
            self.count = min(wanted, self._most)
        return self.count

    def refused(self, begun: float) -> int:
        """Learn that the server is too busy for a request that was begun then; the new count, 0
        where it is to be given up."""
        now = time.monotonic()
        if now - self._last > self.patience:
            return 0
        if begun > self._slowed:  # others that were under way at the same time say nothing new
            self._slowed = now
            self.count = self._most = max(1, self.count // 2)
        return self.count


class Postponed(Exception):  # noqa: N818  no error
    """Raised by a task that is to be begun anew later."""


class Workers:
    """Runs tasks until its `with` ends, which waits for them.

    Attributes:
        count: How many threads; each is started when there is a task for it. May change at any
            time.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._core = OneCore()
        self._tasks: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self._wanted = threading.Condition(self._lock)
        """Told of tasks, and of the end."""
        self._room = threading.Condition(self._lock)
        """Told when fewer tasks wait."""
        self._threads: list[threading.Thread] = []
        self._running = 0
        self._idle = 0
        self._full = False
        self._closed = False
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._closed = True
            if error is not None:
                self._tasks.clear()
            self._wanted.notify_all()
        if error is None or isinstance(error, Exception):
            # Nobody waits after a signal: the threads end with the process.
            for thread in self._threads:
                thread.join()
        if error is None and self._error is not None:
            raise self._error

    def wait_for(self, task: Callable[[], None]) -> None:
        """Run a task beside the others and wait for it.

        The main thread must not run what may wait for the network in foreign code: no signal would
        be heard meanwhile.

        Raises:
            BaseException: The error of the task.
        """
        later(task)()

    def submit(self, task: Callable[[], None]) -> None:
        """Hand over a task; waits while too many wait already.

        Raises:
            BaseException: The error of an earlier task; no further one begins.
        """
        with self._lock:
            while len(self._tasks) >= _WAITING and self._error is None:
                self._full = True
                self._room.wait()
            if self._error is not None:
                raise self._error
            self._tasks.append(task)
            self._start_thread()
            if self._idle:
                self._wanted.notify()

    def _start_thread(self) -> None:
        """Start one more if there is work for it; the caller holds the lock."""
        if len(self._tasks) > self._idle and self._running < self.count:
            # Daemons: a signal must end the process while a thread waits for the network.
            thread = threading.Thread(target=self._work, daemon=True)
            try:
                thread.start()
            except RuntimeError:
                if not self._threads:
                    raise
                return  # the container may have no more: those that run do it
            self._running += 1
            self._threads.append(thread)

    def _work(self) -> None:
        with self._core.shared():
            self._work_off()

    def _work_off(self) -> None:
        # Tasks are taken without the lock: it is for what changes.
        while self._running == self.count or self._goes_on():
            try:
                task = self._tasks.popleft()
            except IndexError:
                if self._wait():
                    continue
                return
            if self._full and len(self._tasks) <= _REFILL:
                with self._lock:
                    self._make_room()
            try:
                task()
                self._core.finished()
            except Postponed:
                with self._lock:
                    if self._error is None:
                        self._tasks.appendleft(task)
                        self._wanted.notify()
            except BaseException as error:
                with self._lock:
                    self._error = self._error or error
                    self._tasks.clear()
                    self._make_room()

    def _goes_on(self) -> bool:
        """Whether this thread is not one too many; starts another where there may be more."""
        with self._lock:
            if self._running > self.count:
                self._running -= 1
                return False
            self._start_thread()
            return True

    def _wait(self) -> bool:
        """Wait for a task; False: there will be none."""
        with self._lock:
            self._make_room()
            self._idle += 1
            while not self._tasks and not self._closed:
                self._wanted.wait()
            self._idle -= 1
            if self._tasks:
                return True
            self._running -= 1
            return False

    def _make_room(self) -> None:
        """Let those that hand over go on; the caller holds the lock."""
        self._full = False
        self._room.notify_all()


_Result = TypeVar("_Result")


def later(task: Callable[[], _Result]) -> Callable[[], _Result]:
    """Begin a task in a thread of its own; the returned function waits for what it returns.

    The thread is a daemon, and waiting hears signals, whatever the task waits for.
    """
    results: list[_Result] = []
    errors: list[BaseException] = []
    done = threading.Event()

    def run() -> None:
        try:
            results.append(task())
        except BaseException as error:
            errors.append(error)
        finally:
            done.set()

    def wait() -> _Result:
        done.wait()
        if errors:
            raise errors[0]
        return results[0]

    threading.Thread(target=run, daemon=True).start()
    return wait


class Ranged:
    """A file whose parts arrive in any order; closed with the last."""

    def __init__(self, sink: FileSink, parts: int) -> None:
        self.sink = sink
        self._parts = parts
        self._lock = threading.Lock()

    def finish_part(self) -> bool:
        """Whether this was the last one."""
        with self._lock:
            self._parts -= 1
            if self._parts:
                return False
        self.sink.__exit__(None, None, None)
        return True
