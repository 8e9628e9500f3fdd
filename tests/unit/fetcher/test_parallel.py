"""A few threads: every task runs once, the first error ends them, waiting is bounded."""

from __future__ import annotations

import threading
import time

import pytest

from flow_fetcher.sources.parallel import Workers


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
            for number in range(100):
                workers.submit(lambda: release.wait(10) and None)
                submitted.append(number)

    thread = threading.Thread(target=submit_many)
    thread.start()
    time.sleep(0.2)
    assert len(submitted) <= 12
    release.set()
    thread.join(10)
    assert len(submitted) == 100
