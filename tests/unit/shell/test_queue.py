"""The work queue loses no key, works on none twice at a time, and waits after errors."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_operator.shell.queue import LATER, Backoff, WorkQueue

Handler = Callable[[str], Awaitable[float | None]]

FAST = Backoff(first=0.001, longest=0.004)


@asynccontextmanager
async def working(handler: Handler, workers: int = 4) -> AsyncIterator[WorkQueue[str]]:
    queue = WorkQueue[str](handler, workers=workers, backoff=FAST, expected=(ValueError,))
    task = asyncio.create_task(queue.run())
    try:
        yield queue
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def test_adds_before_the_handler_starts_are_one() -> None:
    """A burst of events about an object makes one look at it."""
    seen: list[str] = []

    async def handle(key: str) -> None:
        seen.append(key)

    async with working(handle) as queue:
        for _ in range(10):
            queue.add("a")
        queue.add("b")
        assert len(queue) == 2
        await until(lambda: len(seen) == 2)
        await asyncio.sleep(0.01)
    assert sorted(seen) == ["a", "b"]


async def test_an_add_during_the_work_makes_it_run_again() -> None:
    """What happens while an object is being looked at is looked at as well, and not at once."""
    started, finish, runs = asyncio.Event(), asyncio.Event(), 0

    async def handle(key: str) -> None:
        nonlocal runs
        runs += 1
        started.set()
        await finish.wait()

    async with working(handle) as queue:
        queue.add("a")
        await started.wait()
        queue.add("a")
        queue.add("a")
        await asyncio.sleep(0.01)
        assert runs == 1
        finish.set()
        await until(lambda: runs == 2)
        await asyncio.sleep(0.01)
    assert runs == 2


async def test_the_earliest_time_counts() -> None:
    """A later wish does not put off an earlier one."""
    loop = asyncio.get_running_loop()
    begin, times = loop.time(), []

    async def handle(key: str) -> None:
        times.append(loop.time() - begin)

    async with working(handle) as queue:
        queue.add("a", 0.2)
        queue.add("a", 0.03)
        queue.add("a", 0.3)
        await asyncio.sleep(0.35)
    assert len(times) == 1
    assert 0.03 <= times[0] < 0.2


async def test_a_look_settles_the_wishes_made_before_it() -> None:
    """The handler says itself when to look again; timers of the past do not add up."""
    runs = 0

    async def handle(key: str) -> float | None:
        nonlocal runs
        runs += 1
        return 0.02 if runs < 3 else None

    async with working(handle) as queue:
        queue.add("a", 0.1)
        queue.add("a")
        await asyncio.sleep(0.2)
    assert runs == 3


async def test_what_may_wait_lets_others_go_first() -> None:
    """Also such as come after it; and it is there when it is wanted sooner after all."""
    seen: list[str] = []
    free = asyncio.Event()

    async def handle(key: str) -> None:
        seen.append(key)
        await free.wait()

    async with working(handle, workers=1) as queue:
        queue.add("first")
        await until(lambda: seen == ["first"])
        assert not queue.postpone("record")  # nobody waits: it need not
        queue.add("record", LATER)
        queue.add("sooner", LATER)
        queue.add("urgent")
        queue.add("sooner")
        assert queue.postpone("record")
        free.set()
        await until(lambda: len(seen) == 4)
    assert seen == ["first", "urgent", "sooner", "record"]


async def test_what_may_wait_leaves_the_server_to_others() -> None:
    """It is not begun while more than two are worked on, though there are workers for it."""
    free = {key: asyncio.Event() for key in ("a", "b", "c", "d", "record")}
    seen: list[str] = []

    async def handle(key: str) -> None:
        seen.append(key)
        await free[key].wait()

    async with working(handle, workers=8) as queue:
        for key in "abc":
            queue.add(key)
        queue.add("record", LATER)
        await until(lambda: seen == ["a", "b", "c"])
        assert queue.postpone("a")
        await asyncio.sleep(0.02)
        assert seen == ["a", "b", "c"]
        queue.add("d")
        free["b"].set()
        await until(lambda: seen == ["a", "b", "c", "d"])
        free["c"].set()
        await until(lambda: seen == ["a", "b", "c", "d", "record"])
        assert not queue.postpone("d")
        for event in free.values():
            event.set()
        await until(lambda: seen[-1] == "a")  # once more, as it was put off


async def test_what_may_wait_keeps_its_hour() -> None:
    """A key that lets others go first is as urgent as any once its time has come."""
    seen: list[str] = []
    free = asyncio.Event()

    async def handle(key: str) -> None:
        seen.append(key)
        await free.wait()

    async with working(handle, workers=1) as queue:
        queue.add("first")
        await until(lambda: seen == ["first"])
        queue.add("tick", 0.02)
        queue.add("tick", LATER)
        await asyncio.sleep(0.05)
        queue.add("urgent")
        free.set()
        await until(lambda: len(seen) == 3)
    assert seen == ["first", "tick", "urgent"]


async def test_few_workers_work_on_what_may_wait() -> None:
    """The others are free for what may not, and all of it is worked on in the end."""
    free, seen = asyncio.Event(), list[str]()
    now = most = 0

    async def handle(key: str) -> None:
        nonlocal now, most
        if key == "urgent":
            seen.append(key)
            return
        now += 1
        most = max(most, now)
        await free.wait()
        await asyncio.sleep(0)
        now -= 1
        seen.append(key)

    async with working(handle, workers=8) as queue:
        for number in range(30):
            queue.add(f"record {number}", LATER)
        await until(lambda: now > 0)
        await asyncio.sleep(0.01)
        queue.add("record 20")  # others go first no longer: its place among them is void
        queue.add("urgent")
        await until(lambda: seen == ["urgent"])
        free.set()
        await until(lambda: len(seen) == 31)
    assert most == 5  # four that may wait, and record 20
    assert sorted(seen) == sorted(["urgent", *(f"record {number}" for number in range(30))])


async def test_nothing_is_put_off_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many keys there are that are more urgent."""
    monkeypatch.setattr("flow_operator.shell.queue.PATIENCE", 0.05)
    put_off = 0
    done = asyncio.Event()

    async def handle(key: str) -> None:
        nonlocal put_off
        await asyncio.sleep(0.001)
        if key != "record":
            queue.add(f"urgent {key}"[:20])
            queue.add(key + "!" if len(key) < 9 else "urgent")
        elif queue.postpone(key):
            put_off += 1
        else:
            done.set()

    async with working(handle, workers=1) as queue:
        for number in range(9):
            queue.add(f"urgent{number}")
        queue.add("record")
        async with asyncio.timeout(5):
            await done.wait()
    assert put_off in (1, 2)


async def test_errors_are_tried_again_later_each_time(caplog: pytest.LogCaptureFixture) -> None:
    """A failing key comes back by itself; once it succeeds, it is forgotten."""
    runs = 0

    async def handle(key: str) -> None:
        nonlocal runs
        runs += 1
        if runs <= 3:
            raise ValueError("not yet")

    async with working(handle) as queue:
        queue.add("a")
        await until(lambda: runs == 4)
        await asyncio.sleep(0.02)
    assert runs == 4
    assert [record.getMessage().split(" (")[0] for record in caplog.records] == ["a: not yet"] * 3
    assert all(record.exc_info is None for record in caplog.records)


async def test_an_unexpected_error_shows_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """A bug is logged as one, and takes no worker down."""
    runs = 0

    async def handle(key: str) -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise KeyError("bug")

    async with working(handle, workers=1) as queue:
        queue.add("a")
        await until(lambda: runs == 2)
    assert caplog.records[0].exc_info


def test_backoff_grows_up_to_its_limit() -> None:
    """From a fifth of a second to a minute, with jitter that only shortens."""
    backoff = Backoff()
    delays = [backoff.delay(failures) for failures in range(1, 2000)]
    assert 0.15 <= delays[0] <= 0.2
    assert all(delay <= 60 for delay in delays)
    assert min(delays[20:]) >= 45


async def test_the_server_can_ask_for_more_patience() -> None:
    """An error that says when to come back is not tried before."""
    loop = asyncio.get_running_loop()
    times = []

    class BusyError(ValueError):
        retry_after = 0.1

    async def handle(key: str) -> None:
        times.append(loop.time())
        if len(times) == 1:
            raise BusyError

    async with working(handle) as queue:
        queue.add("a")
        await until(lambda: len(times) == 2)
    assert times[1] - times[0] >= 0.1


async def test_close_waits_for_what_is_being_done_and_starts_nothing() -> None:
    """After `close` nothing new starts, and what was being done has ended."""
    started, done = asyncio.Event(), []

    async def handle(key: str) -> None:
        started.set()
        await asyncio.sleep(0.05)
        done.append(key)

    async with working(handle, workers=1) as queue:
        queue.add("a")
        queue.add("b")
        queue.add("c", 0.01)
        await started.wait()
        await queue.close(1.0)
        queue.add("d")
        await asyncio.sleep(0.1)
    assert done == ["a"]


async def test_close_does_not_wait_for_ever() -> None:
    """A handler that hangs does not keep the process from ending."""

    async def handle(key: str) -> None:
        await asyncio.Event().wait()

    async with working(handle) as queue:
        queue.add("a")
        await asyncio.sleep(0.01)
        async with asyncio.timeout(1):
            await queue.close(0.05)
        seconds, key = queue.longest_run()
        assert key == "a"
        assert seconds > 0


STEPS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from([0.0, 0.0, 0.0, 0.001, 0.004]),  # when to look
        st.sampled_from([0, 0, 1, 3]),  # how many turns of the loop to wait before the next step
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS, seed=st.integers(0, 2**32), workers=st.integers(1, 4))
def test_no_wakeup_is_lost_and_no_key_runs_twice_at_once(
    steps: list[tuple[str, float, int]], seed: int, workers: int
) -> None:
    """Whatever is added when, and however handlers fail, take long and ask for more."""
    asyncio.run(_random_work(steps, random.Random(seed), workers))


async def _random_work(
    steps: list[tuple[str, float, int]], dice: random.Random, workers: int
) -> None:
    running: set[str] = set()
    clock = 0  # counts what happens, so that two things never happen at the same time
    added: dict[str, int] = {}
    started: dict[str, int] = defaultdict(int)

    def tick() -> int:
        nonlocal clock
        clock += 1
        return clock

    async def handle(key: str) -> float | None:
        assert key not in running, "worked on twice at the same time"
        running.add(key)
        started[key] = tick()
        try:
            for _ in range(dice.choice([0, 1, 5])):
                await asyncio.sleep(0)
            if dice.random() < 0.2:
                raise ValueError("bad luck")
            return dice.choice([None, None, None, 0.0 if dice.random() < 0.2 else None, 0.001])
        finally:
            running.discard(key)

    async with working(handle, workers) as queue:
        for key, after, turns in steps:
            queue.add(key, after)
            added[key] = tick()
            for _ in range(turns):
                await asyncio.sleep(0)
        await until(lambda: all(started[key] > added[key] for key in added))


async def test_what_waits_is_worked_on_sooner_when_the_clock_goes_ahead() -> None:
    """By so much and no more, and nothing twice."""
    seen: list[str] = []

    async def handle(key: str) -> None:
        seen.append(key)

    async with working(handle) as queue:
        queue.add("soon", 600.0)
        queue.add("late", 6000.0)
        queue.catch_up(500.0)
        await asyncio.sleep(0.01)
        assert seen == []
        queue.catch_up(100.0)
        await until(lambda: seen == ["soon"])
        queue.catch_up(9000.0)
        await until(lambda: seen == ["soon", "late"])
        queue.catch_up(9000.0)
        await asyncio.sleep(0.01)
    assert seen == ["soon", "late"]
