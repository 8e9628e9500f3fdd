"""Threads share a core while that is no slower than before, and nobody else's threads do."""

from __future__ import annotations

import os
import threading
import time

import pytest

from flow_fetcher.sources.onecore import OneCore, current_core
from flow_fetcher.sources.parallel import Workers

ALL = os.sched_getaffinity(0)
ONE = min(ALL)


class Machine:
    """A clock that a test moves on, and what a thread was last bound to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.bound: dict[int, set[int]] = {}
        self.core = OneCore(lambda: self.now, lambda: ONE, self.bound.__setitem__)

    def window(self, seconds: float) -> set[int] | None:
        """Let a window of tasks take so long; what this thread is bound to then."""
        self.now += seconds
        for _ in range(OneCore.window):
            self.core.finished()
        return self.bound.get(threading.get_native_id())


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_bound_from_the_third_window_on(machine: Machine) -> None:
    """The first makes connections, the second tells how long it takes unbound."""
    with machine.core.shared():
        assert machine.window(9.0) is None
        assert machine.window(1.0) == {ONE}
        assert machine.window(1.4) == {ONE}


def test_one_slow_window_is_an_accident(machine: Machine) -> None:
    """Two in a row are not: all cores are allowed again."""
    with machine.core.shared():
        seconds = [1.0, 1.0, 2.0, 1.0, 2.0, 2.0]
        found = [machine.window(each) for each in seconds]
        assert found == [None, {ONE}, {ONE}, {ONE}, {ONE}, ALL]


def test_a_core_that_others_need(machine: Machine) -> None:
    """What was slow is not so without it: it is tried again after a while, then a longer one."""
    with machine.core.shared():
        for seconds in (1.0, 1.0, 2.0, 2.0):
            machine.window(seconds)
        assert [machine.window(1.0) for _ in range(17)] == [ALL] * 16 + [{ONE}]
        for seconds in (2.0, 2.0):
            machine.window(seconds)
        assert [machine.window(1.0) for _ in range(129)] == [ALL] * 128 + [{ONE}]


def test_a_store_that_gets_slower(machine: Machine) -> None:
    """What was slow is so without it, too: that is what is normal from now on."""
    with machine.core.shared():
        for seconds in (1.0, 1.0, 2.0, 2.0):
            machine.window(seconds)
        assert machine.window(1.9) == {ONE}
        assert [machine.window(2.8) for _ in range(3)] == [{ONE}] * 3


def test_threads_that_come_and_go(machine: Machine) -> None:
    """One that comes later is bound at once, one that is gone is not touched."""
    other: list[int] = []

    def work() -> None:
        with machine.core.shared():
            other.append(threading.get_native_id())

    machine.window(1.0)
    machine.window(1.0)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert machine.bound == {other[0]: {ONE}}
    machine.window(2.0)
    machine.window(2.0)
    assert machine.bound == {other[0]: {ONE}}


def test_a_sandbox_that_forbids_it() -> None:
    """The work is done all the same."""

    def forbidden(thread: int, cores: set[int]) -> None:
        raise PermissionError

    core = OneCore(bind=forbidden)
    with core.shared():
        for _ in range(5 * OneCore.window):
            core.finished()
    assert os.sched_getaffinity(0) == ALL


def test_a_sandbox_that_does_not_tell_the_core(machine: Machine) -> None:
    """It is not tried, nor asked again."""
    asked: list[int] = []

    def hidden() -> int:
        asked.append(1)
        raise FileNotFoundError

    machine.core = OneCore(lambda: machine.now, hidden, machine.bound.__setitem__)
    with machine.core.shared():
        for _ in range(20):
            assert machine.window(1.0) is None
    assert len(asked) == 1


def test_the_kernel_is_asked() -> None:
    """Threads of workers are bound; the one that hands over is not."""
    cores: list[set[int]] = []

    def task() -> None:
        time.sleep(0.001)
        cores.append(os.sched_getaffinity(0))

    with Workers(4) as workers:
        for _ in range(3 * OneCore.window):
            workers.submit(task)
    assert cores[0] == ALL
    assert len(cores[2 * OneCore.window + 8]) == 1
    assert os.sched_getaffinity(0) == ALL
    assert current_core() in ALL
