"""A few threads: every task runs once, the first error ends them, waiting is bounded."""

from __future__ import annotations

import threading
import time

import pytest

from flow_fetcher.sources.parallel import Pace, Postponed, Workers


def test_every_task_runs_once() -> None:
    """More tasks than threads, all done when the block ends."""
    done: list[int] = []
    lock = threading.Lock()

    def task(number: int) -> None:
        with lock:
            done.append(number)

    with Workers(4) as workers:
        for number in range(500):
            workers.submit(lambda number=number: task(number))  # type: ignore[misc]
    assert sorted(done) == list(range(500))


def test_no_task_no_thread() -> None:
    """Nothing to do starts nothing."""
    before = threading.active_count()
    with Workers(4):
        assert threading.active_count() == before


def test_more_threads_while_tasks_wait() -> None:
    """A count that is raised takes effect at once."""
    begun = threading.Barrier(6, timeout=10)
    with Workers(1) as workers:
        workers.submit(lambda: begun.wait())
        workers.count = 5
        for _ in range(4):
            workers.submit(lambda: begun.wait())
        begun.wait()


def test_fewer_threads_than_before() -> None:
    """A count that is lowered ends those that are too many, and every task is still done."""
    done: list[int] = []
    before = threading.active_count()
    begun = threading.Barrier(9, timeout=10)
    with Workers(8) as workers:
        for _ in range(8):
            workers.submit(lambda: begun.wait())
        begun.wait()
        workers.count = 1
        for number in range(100):
            workers.submit(lambda number=number: done.append(number))  # type: ignore[misc]
        end = time.monotonic() + 10
        while threading.active_count() > before + 1 and time.monotonic() < end:
            time.sleep(0.01)
        assert threading.active_count() == before + 1
    assert sorted(done) == list(range(100))


@pytest.mark.parametrize(
    ("seconds", "count"), [(0.0005, 16), (0.004, 16), (0.01, 40), (0.02, 80), (0.1, 128)]
)
def test_pace_grows_with_the_way(seconds: float, count: int) -> None:
    """What is under way fills the time that an answer takes, within bounds."""
    pace = Pace()
    for _ in range(100):
        pace.answered(time.monotonic() - seconds)
    assert pace.count == count


def test_pace_of_a_busy_server() -> None:
    """Slow answers of a server that can be quick ask for no more requests, nor do the first."""
    pace = Pace()
    took = [1.0] * 32 + [0.001] + [1.0] * 100
    assert {pace.answered(time.monotonic() - seconds) for seconds in took} == {16}


def test_pace_of_a_server_that_refuses() -> None:
    """Requests that were under way together halve the count once; later ones do it again."""
    pace = Pace()
    for _ in range(100):
        pace.answered(time.monotonic() - 1.0)
    begun = time.monotonic()
    assert [pace.refused(begun) for _ in range(5)] == [64] * 5
    assert pace.refused(time.monotonic()) == 32
    assert pace.answered(time.monotonic() - 1.0) == 32
    for _ in range(100):
        pace.answered(time.monotonic() - 1.0)
    assert pace.count == 32


def test_pace_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that refuses everything for too long is given up."""
    monkeypatch.setattr(Pace, "patience", 0.0)
    assert Pace().refused(time.monotonic()) == 0


def test_task_that_is_postponed() -> None:
    """It is begun anew until it does not want that any more."""
    begun: list[int] = []

    def task() -> None:
        begun.append(1)
        if len(begun) < 5:
            raise Postponed

    with Workers(2) as workers:
        workers.submit(task)
    assert len(begun) == 5


def test_task_that_is_postponed_when_others_have_ended() -> None:
    """The last thread goes on with it, although there were more than there should be now."""
    begun: list[int] = []

    def task() -> None:
        begun.append(1)
        if len(begun) == 1:
            time.sleep(0.1)
            workers.count = 1
            raise Postponed

    with Workers(4) as workers:
        workers.submit(task)
        for _ in range(3):
            workers.submit(lambda: time.sleep(0.02))
    assert len(begun) == 2


def test_more_threads_once_there_may_be_more() -> None:
    """All tasks may have been handed over before the first answer tells how far the server is."""
    under_way: set[int] = set()
    most: list[int] = []

    def task(number: int) -> None:
        workers.count = 20
        under_way.add(number)
        time.sleep(0.05)
        most.append(len(under_way))
        under_way.remove(number)

    with Workers(2) as workers:
        for number in range(100):
            workers.submit(lambda number=number: task(number))  # type: ignore[misc]
    assert 10 < max(most) <= 20


def test_no_more_threads_than_there_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of processes of a container: the threads that there are do all the work."""
    start, started, done = threading.Thread.start, [], []

    def limited(thread: threading.Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    with Workers(8) as workers:
        for number in range(100):
            workers.submit(lambda number=number: done.append(number))  # type: ignore[misc]
    assert (len(started), len(done)) == (2, 100)


def test_error_of_a_task() -> None:
    """The first error comes out, and what waits is not begun."""
    begun: list[int] = []

    def fail() -> None:
        raise ZeroDivisionError("first")

    def submit_all() -> None:
        with Workers(2) as workers:
            workers.submit(fail)
            for number in range(10_000):
                workers.submit(lambda number=number: begun.append(number))  # type: ignore[misc]

    with pytest.raises(ZeroDivisionError, match="first"):
        submit_all()
    assert len(begun) < 10_000


def test_error_of_the_submitter() -> None:
    """What runs is waited for, what waits is dropped, the error is the submitter's."""
    finished = threading.Event()

    def slow() -> None:
        time.sleep(0.2)
        finished.set()

    def submit_and_fail() -> None:
        with Workers(1) as workers:
            workers.submit(slow)
            time.sleep(0.05)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        submit_and_fail()
    assert finished.is_set()


def test_a_task_that_is_waited_for() -> None:
    """It hands over tasks of its own, and its error is the caller's."""
    done: list[int] = []

    def submit_all(workers: Workers) -> None:
        for number in range(100):
            workers.submit(lambda number=number: done.append(number))  # type: ignore[misc]
        raise KeyError("the listing's")

    def run() -> None:
        with Workers(3) as workers:
            workers.wait_for(lambda: submit_all(workers))

    with pytest.raises(KeyError, match="the listing's"):
        run()
    assert len(done) <= 100


def test_waiting_tasks_are_bounded() -> None:
    """A fast listing does not fill memory with tasks."""
    release = threading.Event()
    submitted: list[int] = []

    def submit_many() -> None:
        with Workers(2) as workers:
            for number in range(5000):
                workers.submit(lambda: release.wait(10) and None)
                submitted.append(number)

    thread = threading.Thread(target=submit_many)
    thread.start()
    time.sleep(0.2)
    assert len(submitted) <= 1002
    release.set()
    thread.join(10)
    assert len(submitted) == 5000
