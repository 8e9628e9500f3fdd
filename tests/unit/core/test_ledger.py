"""Room for runs is limited, given to whoever has least, and never twice."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from flow_operator.core.ledger import Entry, Ledger
from tests.unit.core.world import SUCCEEDED_POD, World, deployment, flow_run


def entry(
    name: str, namespace: str = "a", deployment: str = "x", *, started: bool = False
) -> Entry:
    return Entry(f"uid-{namespace}-{name}", namespace, name, deployment, name, started)


def test_room_goes_to_the_namespace_that_has_least() -> None:
    """A thousand runs of one team do not keep another's waiting."""
    ledger = Ledger(limit=3, namespace_limit=None)
    for number in range(1000):
        ledger.request(entry(f"{number:04}"))
    assert ledger.request(entry("9999", "b"))
    (given,) = ledger.leave("uid-a-0000")
    assert (given.namespace, given.name) == ("b", "9999")
    (given,) = ledger.leave("uid-a-0001")
    assert given.name == "0003"


def test_room_of_a_namespace_goes_to_the_deployment_that_has_least() -> None:
    """And there to the oldest run."""
    ledger = Ledger(limit=None, namespace_limit=2)
    assert ledger.request(entry("1")) is None
    assert ledger.request(entry("2")) is None
    assert "maxActiveRunsPerNamespace" in (ledger.request(entry("3")) or "")
    ledger.request(entry("5", deployment="y"))
    ledger.request(entry("4", deployment="y"))
    assert ledger.request(entry("6", "b")) is None
    assert [given.name for given in ledger.leave("uid-a-1")] == ["4"]
    assert [given.name for given in ledger.leave("uid-a-2")] == ["3"]


def test_what_started_counts_after_a_restart() -> None:
    """A new process begins with what the runs say of themselves."""
    ledger = Ledger(limit=2, namespace_limit=None)
    given = ledger.load([entry("3"), entry("1", started=True), entry("2", started=True)])
    assert given == []
    assert "maxActiveRuns " in (ledger.request(entry("3")) or "")
    assert ledger.request(entry("1")) is None
    assert [given.name for given in ledger.leave("uid-a-2")] == ["3"]


def test_what_started_has_room_even_if_there_is_none() -> None:
    """Another process let it go ahead, or this one without having been told."""
    ledger = Ledger(limit=1, namespace_limit=None)
    assert ledger.request(entry("1")) is None
    assert ledger.request(entry("2"))
    assert ledger.request(entry("2", started=True)) is None
    assert ledger.leave("uid-a-1") == []
    assert ledger.request(entry("3"))


STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "end", "reload"]), st.integers(0, 11)), max_size=80
)


@given(STEPS, st.none() | st.integers(1, 4), st.none() | st.integers(1, 3))
def test_no_limit_is_passed_and_no_room_is_left(
    steps: list[tuple[str, int]], limit: int | None, namespace_limit: int | None
) -> None:
    """However runs come and go: so many have room as may, unless nobody waits."""
    ledger = Ledger(limit, namespace_limit)
    running: set[int] = set()
    waiting: set[int] = set()

    def of(number: int) -> Entry:
        return entry(str(number), "abc"[number % 3], "xy"[number % 2], started=number in running)

    by_uid = {of(number).uid: number for number in range(12)}
    for step, number in steps:
        if step == "ask":
            if ledger.request(of(number)) is None:
                waiting.discard(number)
                running.add(number)
            else:
                waiting.add(number)
        elif step == "end":
            waiting.discard(number)
            running.discard(number)
            for given in ledger.leave(of(number).uid):
                waiting.discard(by_uid[given.uid])
                running.add(by_uid[given.uid])
        else:
            assert ledger.load(of(known) for known in sorted(running | waiting)) == []
        in_namespace = dict.fromkeys("abc", 0)
        for known in running:
            in_namespace["abc"[known % 3]] += 1
        assert limit is None or len(running) <= limit
        assert namespace_limit is None or max(in_namespace.values()) <= namespace_limit
        if limit is None or len(running) < limit:
            for known in waiting:
                assert namespace_limit == in_namespace["abc"[known % 3]]


def test_runs_wait_in_the_queue_until_there_is_room() -> None:
    """Phase Queued, the limit in words, and no time counted while they wait."""
    world = World(limit=2)
    world.put(deployment(runOn=[]))
    for number in range(4):
        world.put(flow_run(f"run-{number}"))
    world.reconcile()
    runs = [world.objects["FlowRun", f"run-{number}"] for number in range(4)]
    assert [run["status"]["phase"] for run in runs] == ["Pending"] * 2 + ["Queued"] * 2
    assert "maxActiveRuns" in runs[2]["status"]["conditions"][0]["message"]
    assert "startTime" not in runs[2]["status"]
    assert len(world.all("Job")) == 2
    world.now += timedelta(hours=1)
    for _, name in list(world.created):
        world.pods[name] = [SUCCEEDED_POD]
    world.reconcile()
    assert [run["status"]["phase"] for run in runs] == ["Succeeded"] * 2 + ["Pending"] * 2
