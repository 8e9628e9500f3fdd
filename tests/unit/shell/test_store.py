"""The store knows the newest of what it was shown, and tells of a change once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_operator.shell.cluster import FLOW_DEPLOYMENTS, FLOW_RUNS, JOBS, PODS
from flow_operator.shell.keys import Concern, Key, deployment_key, run_key
from flow_operator.shell.records import record_of
from flow_operator.shell.store import Store
from tests.unit.shell.objects import TIME, deployment, job, pod, run

ETL, RUN = deployment_key("data", "etl"), run_key("data", "etl-1")


class Told(list[Key]):
    """The keys that the store has told of."""

    def __call__(self, concern: Concern) -> None:
        self.extend(concern.now + concern.later)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def store(told: Told) -> Store:
    return Store(told)


def test_a_change_is_told_once(store: Store, told: Told) -> None:
    """The echo of an own write, on the watch, is no news."""
    store.wrote(FLOW_RUNS, run(version=5))
    assert told == [RUN, ETL]
    store.saw(FLOW_RUNS, run(version=5))
    assert told == [RUN, ETL]
    store.saw(FLOW_RUNS, run(version=6))
    assert told == [RUN, ETL] * 2


def test_what_comes_late_changes_nothing(store: Store, told: Told) -> None:
    """A watch may lag behind the answers to own writes."""
    store.wrote(FLOW_RUNS, run(version=5, phase="Running"))
    store.saw(FLOW_RUNS, run(version=4, phase="Pending"))
    found = store.get(FLOW_RUNS, "data", "etl-1")
    assert found
    assert found["status"]["phase"] == "Running"


def test_what_is_gone_does_not_come_back(store: Store, told: Told) -> None:
    """The answer to a write may arrive after the deletion was seen."""
    store.saw(FLOW_RUNS, run(version=5))
    store.drop(*record_of(FLOW_RUNS, run(version=7)))
    store.wrote(FLOW_RUNS, run(version=6))
    assert store.get(FLOW_RUNS, "data", "etl-1") is None
    assert told[2:] == [RUN, ETL]


def test_what_is_gone_is_forgotten_when_no_answer_can_be_that_late(told: Told) -> None:
    """Runs come and go for years, and nothing may be left of them."""
    now = 0.0
    store = Store(told, lambda: now)
    for name in ("early", "late"):
        store.drop(*record_of(FLOW_RUNS, run(name, version=7)))
        now += 100.0
    store.drop(*record_of(FLOW_RUNS, run(version=7)))
    for name in ("early", "late"):
        store.wrote(FLOW_RUNS, run(name, version=6))
    assert store.get(FLOW_RUNS, "data", "late") is None
    assert store.get(FLOW_RUNS, "data", "early") is not None  # such an answer takes seconds


def test_a_successor_of_the_same_name_stays(store: Store) -> None:
    """A deletion is about one object, not about its name."""
    old, new = run(version=5), run(version=9)
    new["metadata"]["uid"] = "uid-of-another"
    store.saw(FLOW_RUNS, old)
    store.saw(FLOW_RUNS, new)
    store.drop(*record_of(FLOW_RUNS, old))
    assert store.version(FLOW_RUNS, "data", "etl-1") == 9


def test_absence_is_told(store: Store, told: Told) -> None:
    """A read that finds nothing is as good as a watch that says so."""
    store.saw(FLOW_DEPLOYMENTS, deployment())
    told.clear()
    store.gone(FLOW_DEPLOYMENTS, "data", "etl")
    store.gone(FLOW_DEPLOYMENTS, "data", "etl")
    assert told == [ETL]
    assert store.version(FLOW_DEPLOYMENTS, "data", "etl") == 0


def test_runs_are_found_by_deployment_and_pods_by_job(store: Store) -> None:
    for number in range(3):
        store.saw(FLOW_RUNS, run(f"etl-{number}"))
    store.saw(FLOW_RUNS, run("other-1", of="other"))
    store.saw(PODS, pod("p", 1, "j", "Running"))
    store.gone(FLOW_RUNS, "data", "etl-0")
    names = [found["metadata"]["name"] for found in store.group(FLOW_RUNS, "data", "etl")]
    assert names == ["etl-1", "etl-2"]
    assert store.group(FLOW_RUNS, "elsewhere", "etl") == []
    assert [found["metadata"]["name"] for found in store.group(PODS, "data", "uid-j")] == ["p"]


def test_only_what_has_not_ended_is_open(store: Store) -> None:
    store.saw(FLOW_DEPLOYMENTS, deployment())
    store.saw(FLOW_RUNS, run("etl-1", completionTime=TIME))
    store.saw(FLOW_RUNS, run("etl-2"))
    assert [found["metadata"]["name"] for found in store.open_runs()] == ["etl-2"]
    assert store.keys() == [ETL, run_key("data", "etl-2")]


def test_it_knows_when_it_wrote_an_object() -> None:
    now = 100.0
    store = Store(lambda *_: None, clock=lambda: now)
    store.wrote(FLOW_RUNS, run(version=5))
    now = 101.5
    store.saw(FLOW_RUNS, run(version=6))  # by somebody else: it does not undo the write
    assert (store.now(), store.written_at("uid-etl-1")) == (101.5, 100.0)
    assert store.written_at("uid-of-another") == float("-inf")


def test_it_knows_what_it_wrote_though_a_watch_was_quicker() -> None:
    store = Store(lambda *_: None, clock=lambda: 100.0)
    store.saw(FLOW_RUNS, run(version=5))
    store.wrote(FLOW_RUNS, run(version=5))
    assert store.written_at("uid-etl-1") == 100.0


def test_what_comes_of_an_own_job_may_wait() -> None:
    told: list[Concern] = []
    store = Store(told.append)
    store.wrote(JOBS, job("a", 1, "etl-1"))
    store.saw(JOBS, job("a", 2, "etl-1", "Complete"))
    assert told == [Concern(later=(RUN,)), Concern((RUN,))]


def test_a_newer_version_of_the_same_changes_nothing(store: Store, told: Told) -> None:
    """It is what the next write goes by, but nothing to look at."""
    store.saw(JOBS, job("a", 5, "etl-1"))
    told.clear()
    newer = record_of(JOBS, job("a", 7, "etl-1"))
    store.renew(*newer)
    store.renew(*record_of(JOBS, job("a", 6, "etl-1")))
    found = store.get(JOBS, "data", "a")
    assert found
    assert found["metadata"]["resourceVersion"] == "7"
    assert told == []


def test_what_was_the_same_when_asked_is_news_once_it_is_not(store: Store, told: Told) -> None:
    """Another thread asks: this one may have written meanwhile, and somebody undone that."""
    store.saw(JOBS, job("a", 5, "etl-1"))
    undone = record_of(JOBS, job("a", 7, "etl-1"))
    store.wrote(JOBS, job("a", 6, "etl-1", suspend=True))
    told.clear()
    store.renew(*undone)
    found = store.get(JOBS, "data", "a")
    assert found
    assert found["spec"] == {"suspend": False}
    assert told == [RUN]


def test_what_is_gone_is_not_renewed(store: Store) -> None:
    store.saw(JOBS, job("a", 5, "etl-1"))
    newer = record_of(JOBS, job("a", 7, "etl-1"))
    store.drop(*newer)
    store.renew(*newer)
    assert store.get(JOBS, "data", "a") is None


def test_of_a_list_only_the_news_is_passed_on(store: Store) -> None:
    """What this process has read itself need not be shown to it again."""
    for name in ("same", "changed", "ahead"):
        store.saw(FLOW_RUNS, run(name, 5))
    listed = {
        "kind": "FlowRunList",
        "metadata": {"resourceVersion": "9"},
        "items": [run("same", 5), run("changed", 8), run("ahead", 4), run("new", 7)],
    }
    shown = store.only_news(listed)
    assert [item["metadata"]["name"] for item in shown["items"]] == ["changed", "new"]
    assert shown["metadata"] == listed["metadata"]
    assert store.only_news({"kind": "APIResourceList", "resources": []})["resources"] == []


@given(st.permutations(range(1, 7)))
def test_in_whatever_order_the_newest_wins(versions: list[int]) -> None:
    """Watches, reads and answers to writes overtake each other."""
    told = Told()
    store = Store(told)
    for version in versions:
        store.saw(FLOW_RUNS, run(version=version, phase=str(version)))
    found = store.get(FLOW_RUNS, "data", "etl-1")
    assert found
    assert found["status"]["phase"] == "6"
    assert len(store.group(FLOW_RUNS, "data", "etl")) == 1
