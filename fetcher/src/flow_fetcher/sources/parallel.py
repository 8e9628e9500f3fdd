"""A few threads that work off tasks; few tasks wait, and the first error ends them all."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from flow_fetcher.tree import FileSink

_WAITING = 4
"""How many tasks wait for each thread, at most."""


class Workers:
    """Runs tasks until its `with` ends, which waits for them.

    Args:
        count: How many threads; each is started when there is a task for it.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._tasks: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._idle = 0
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
        with self._changed:
            self._closed = True
            if error is not None:
                self._tasks.clear()
            self._changed.notify_all()
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
        with self._changed:
            while len(self._tasks) >= _WAITING * self._count and self._error is None:
                self._changed.wait()
            if self._error is not None:
                raise self._error
            self._tasks.append(task)
            if len(self._tasks) > self._idle and len(self._threads) < self._count:
                # Daemons: a signal must end the process while a thread waits for the network.
                thread = threading.Thread(target=self._work, daemon=True)
                self._threads.append(thread)
                thread.start()
            self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                while not self._tasks and not self._closed:
                    self._changed.wait()
                self._idle -= 1
                if not self._tasks or self._error is not None:
                    return
                task = self._tasks.popleft()
                self._changed.notify_all()
            try:
                task()
            except BaseException as error:
                with self._changed:
                    self._error = self._error or error
                    self._tasks.clear()
                    self._changed.notify_all()
                return


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
