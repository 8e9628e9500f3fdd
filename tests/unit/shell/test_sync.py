"""The store is filled before anything is decided, and corrected where the watches failed."""

from __future__ import annotations

from typing import Any

from flow_operator.core import names
from flow_operator.shell.cluster import FLOW_DEPLOYMENTS, FLOW_RUNS, PODS, Cluster
from flow_operator.shell.keys import Key, deployment_key, run_key
from flow_operator.shell.store import Store
from flow_operator.shell.sync import compare, load, share
from tests.unit.shell.conftest import Answer, Script
from tests.unit.shell.objects import TIME, deployment, job, pod, run


def listed(version: int, *items: dict[str, Any], more: str = "") -> Answer:
    return 200, {
        "metadata": {"resourceVersion": str(version), "continue": more},
        "items": list(items),
    }


NO_STREAM: Answer = 422, {"kind": "Status", "reason": "Invalid", "message": "no sendInitialEvents"}


async def test_everything_is_loaded_page_by_page(
    cluster: Cluster, store: Store, script: Script
) -> None:
    """From a server that has no streams; it is not asked for another one."""
    first = listed(9, deployment("a"), more="next")
    script.answers = [NO_STREAM, first, listed(9, deployment("b")), listed(9)]
    versions, _ = await load(cluster, [None], store)
    assert versions[FLOW_DEPLOYMENTS.path(None)] == 9
    assert len(versions) == 4
    assert [record.name for record in store.records(FLOW_DEPLOYMENTS)] == ["a", "b"]
    assert [seen.query.get("continue") for seen in script.seen[1:3]] == [None, "next"]
    assert [seen.query.get("watch") for seen in script.seen] == ["true", *[None] * 5]
    assert [seen.query.get("labelSelector") for seen in script.seen[-2:]] == [
        f"{names.LABEL_MANAGED_BY}={names.MANAGER}"
    ] * 2


async def test_what_has_ended_and_what_rests_is_not_looked_at_first(
    cluster: Cluster, script: Script
) -> None:
    """A run that goes on is looked at, and who does not say that it rests; not what has ended."""
    told: list[Key] = []
    store = Store(lambda concern: told.extend(concern.now + concern.later))
    resting = deployment("resting")
    ready = {"type": "Ready", "status": "True"}
    resting["status"] = {"observedGeneration": 1, "conditions": [ready]}
    expiring = run("expiring", completionTime=TIME)
    expiring["spec"]["ttlSecondsAfterFinished"] = 60
    script.answers = [
        NO_STREAM,
        listed(9, resting, deployment("new")),
        listed(9, run("ended", completionTime=TIME), run("open", of="resting"), expiring),
        listed(9, job("job", 1, "ended", "Complete"), job("open-job", 1, "open")),
        listed(9, pod("pod", 1, "job", "Succeeded")),
    ]
    _, at_rest = await load(cluster, [None], store)
    assert list(at_rest) == [deployment_key("data", "resting")]
    assert told == [
        deployment_key("data", "new"),
        run_key("data", "open"),
        deployment_key("data", "resting"),
        run_key("data", "expiring"),
    ]
    assert store.get(PODS, "data", "pod")


async def test_what_the_watches_missed_is_made_up_for(
    cluster: Cluster, store: Store, script: Script
) -> None:
    """One run is gone, one has changed, one is new; and one came while the list was on its way."""
    for name, version in (("gone", 1), ("changed", 2), ("same", 3), ("later", 12)):
        store.saw(FLOW_RUNS, run(name, version))
    script.answers = [
        NO_STREAM,
        listed(10, run("changed", 8), run("new", 9), run("same", 3)),
        (200, run("changed", 8)),
        (200, run("new", 9)),
        (404, {"kind": "Status", "reason": "NotFound"}),
    ]
    assert await compare(cluster, None, FLOW_RUNS, store) == 3
    assert {record.name: record.version for record in store.records(FLOW_RUNS)} == {
        "changed": 8, "new": 9, "same": 3, "later": 12,
    }  # fmt: skip
    assert "PartialObjectMetadata;" in script.seen[0].headers["Accept"]
    assert "PartialObjectMetadataList" in script.seen[1].headers["Accept"]


async def test_another_namespace_is_left_alone(
    cluster: Cluster, store: Store, script: Script
) -> None:
    """An operator of two namespaces compares one after the other."""
    store.saw(FLOW_RUNS, run("kept", 1))
    script.answers = [listed(10)]
    assert await compare(cluster, "elsewhere", FLOW_RUNS, store) == 0
    assert await compare(cluster, None, PODS, store) == 0
    assert store.version(FLOW_RUNS, "data", "kept") == 1


def test_everything_has_its_turn_once() -> None:
    keys = [run_key("data", f"r{number}") for number in range(500)]
    shares = [share(keys, turn) for turn in range(12)]
    assert sorted(key for part in shares for key in part) == sorted(keys)
    assert max(map(len, shares)) < 100
