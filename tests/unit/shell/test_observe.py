"""Nothing that cannot be taken back rests on the store alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flow_operator.core.names import ANNOTATION_SNAPSHOT, job_name
from flow_operator.core.settings import Settings
from flow_operator.shell.cluster import FLOW_DEPLOYMENTS, FLOW_RUNS, JOBS, PODS, Cluster
from flow_operator.shell.keys import Key, deployment_key, run_key
from flow_operator.shell.observe import Observer
from flow_operator.shell.reconciler import Reconciler
from flow_operator.shell.records import record_of
from flow_operator.shell.room import Room
from flow_operator.shell.store import Store
from tests.unit.shell.conftest import Answer, Script
from tests.unit.shell.objects import TIME, deployment, job, pod, run

ETL, RUN = deployment_key("data", "etl"), run_key("data", "etl-1")
JOB = job_name("etl-1", "uid-etl-1", 1)
GONE: Answer = (404, {"kind": "Status", "reason": "NotFound"})
BEGAN: Answer = (200, {"metadata": {"resourceVersion": "5"}, "items": []})
"""As of when this process leads."""
STARTED: dict[str, Any] = {
    "phase": "Running",
    "resolvedSpec": {"entrypoint": "flow.py:main"},
    "startTime": TIME,
    "attempts": [{"number": 1, "jobName": JOB, "jobUid": f"uid-{JOB}", "startTime": TIME,
                  "pinned": False}],
}  # fmt: skip


@pytest.fixture
def observer(cluster: Cluster, store: Store) -> Observer:
    return Observer(cluster, store)


def reads(script: Script) -> list[str]:
    return [seen.path.rsplit("/", 1)[-1] for seen in script.seen]


async def test_what_the_store_has_is_not_read(
    observer: Observer, store: Store, script: Script
) -> None:
    store.saw(FLOW_DEPLOYMENTS, deployment())
    store.saw(FLOW_RUNS, run(**STARTED))
    store.saw(JOBS, job(JOB, 2, "etl-1"))
    store.saw(PODS, pod("p", 3, JOB, "Running"))
    view, run_view = observer.deployment(ETL), await observer.run(RUN)
    assert view
    assert [known.metadata.name for known in view.runs] == ["etl-1"]
    assert run_view
    assert run_view.job
    assert len(run_view.pods) == 1
    assert reads(script) == []


async def test_a_job_on_record_is_looked_for_before_it_counts_as_deleted(
    observer: Observer, store: Store, script: Script
) -> None:
    store.saw(FLOW_RUNS, run(**STARTED))
    script.answers = [(200, job(JOB, 2, "etl-1", suspend=False)), (200, {"items": []})]
    view = await observer.run(RUN)
    assert view
    assert view.job
    assert reads(script)[0] == JOB
    assert store.version(JOBS, "data", JOB) == 2


async def test_a_job_that_has_ended_is_read_for_the_snapshot_that_is_not_on_record(
    observer: Observer, store: Store, script: Script
) -> None:
    """The operator was away from the Job's creation to its end."""
    made = job(JOB, 2, "etl-1", "Complete")
    made["metadata"]["annotations"][ANNOTATION_SNAPSHOT] = "{}"
    store.saw(FLOW_DEPLOYMENTS, deployment())
    store.saw(FLOW_RUNS, run())
    store.saw(JOBS, made)
    store.saw(PODS, pod("p", 3, JOB, "Succeeded"))
    script.answers = [(200, made)]
    view = await observer.run(RUN)
    assert view
    assert view.job == made
    assert reads(script) == [JOB]


async def test_an_end_that_no_pod_tells_of_is_looked_into(
    observer: Observer, store: Store, script: Script
) -> None:
    """The watch of Jobs may be ahead of that of Pods: the result would be lost."""
    store.saw(FLOW_RUNS, run(**STARTED))
    store.saw(JOBS, job(JOB, 5, "etl-1", "Complete"))
    store.saw(PODS, pod("p", 3, JOB, "Running"))
    script.answers = [(200, {"items": [pod("p", 4, JOB, "Succeeded")]})]
    view = await observer.run(RUN)
    assert view
    assert view.pods[0]["status"]["phase"] == "Succeeded"
    assert reads(script) == ["pods"]


async def test_a_run_does_not_end_before_its_job_is_looked_for(
    cluster: Cluster, store: Store, script: Script
) -> None:
    """It was made by another leader a moment ago: it would run on, and nobody look after it."""
    cancelled = run()
    cancelled["spec"]["cancel"] = True
    store.saw(FLOW_DEPLOYMENTS, deployment())
    store.saw(FLOW_RUNS, cancelled)
    made = job(JOB, 2, "etl-1", suspend=False)
    made["metadata"]["annotations"][ANNOTATION_SNAPSHOT] = "{}"
    script.answers = [(200, made), (200, {"items": []}), (200, made), (200, run(version=3))]
    await reconciler(cluster, store)(RUN)
    assert (script.seen[0].method, reads(script)[0]) == ("GET", JOB)
    assert ("PATCH", JOB) in [(seen.method, seen.path.rsplit("/", 1)[-1]) for seen in script.seen]


async def test_a_run_does_not_end_for_what_its_pod_said_a_while_ago(
    cluster: Cluster, store: Store, script: Script
) -> None:
    """The watch of Pods has fallen silent; since then the image was found, and the code runs."""
    stuck, healed = pod("p", 3, JOB, "Pending"), pod("p", 4, JOB, "Running")
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "not found"}}
    stuck["status"]["containerStatuses"] = [{"name": "flow", "state": waiting}]
    healed["status"]["containerStatuses"] = [{"name": "flow", "state": {"running": {}}}]
    store.saw(FLOW_RUNS, run(**STARTED))
    store.saw(JOBS, job(JOB, 2, "etl-1"))
    store.saw(PODS, stuck)
    script.answers = [(200, {"items": [healed]}), (200, run(version=3))]
    await reconciler(cluster, store)(RUN)
    assert (script.seen[0].method, reads(script)[0]) == ("GET", "pods")
    assert "PATCH" not in [seen.method for seen in script.seen]
    [told] = [seen.body for seen in script.seen if seen.method == "PUT"]
    assert told["status"]["phase"] == "Running"


async def test_room_is_free_again_though_nobody_heard_that_the_run_has_ended(
    cluster: Cluster, store: Store, script: Script
) -> None:
    """Its last write was carried out, and the answer lost."""
    woken: list[Key] = []
    limits = Settings(max_active_runs=1)
    room = Room(store, limits, lambda *keys: woken.extend(keys))
    known, waiting = run(**STARTED), run("etl-2", 2, phase="Queued", resolvedSpec={"x": 1})
    for found in (known, waiting):
        store.saw(FLOW_RUNS, found)
    assert room.ask(waiting) is not None
    store.saw(FLOW_RUNS, run(version=3, **STARTED, completionTime=TIME))
    await Reconciler(cluster, store, limits, room)(RUN)
    assert woken == [run_key("data", "etl-2")]


async def test_a_run_that_goes_while_it_is_looked_at_keeps_no_room(
    cluster: Cluster, store: Store, script: Script
) -> None:
    """That it is gone is told during a read, and once only."""
    limits = Settings(max_active_runs=1)
    room = Room(store, limits, lambda *_: None)
    made = record_of(FLOW_RUNS, run(**STARTED))
    store.take(*made)
    script.answers = [GONE]
    reconciling = asyncio.create_task(Reconciler(cluster, store, limits, room)(RUN))
    while not script.seen:
        await asyncio.sleep(0)
    store.drop(*made)
    await reconciling
    assert len(room) == 0


async def test_a_deployment_that_is_not_known_is_looked_for(
    observer: Observer, store: Store, script: Script
) -> None:
    store.saw(FLOW_RUNS, run())
    script.answers = [(200, deployment())]
    view = await observer.run(RUN)
    assert view
    assert view.deployment


async def test_a_run_that_was_written_just_now_is_not_read_again(
    observer: Observer, store: Store, script: Script
) -> None:
    store.wrote(FLOW_RUNS, run())
    store.saw(FLOW_DEPLOYMENTS, deployment())
    view = await observer.run(RUN)
    assert view
    assert await observer.confirm_run(RUN, view) is view
    assert reads(script) == []


async def test_another_is_read_and_may_have_changed(
    observer: Observer, store: Store, script: Script
) -> None:
    store.saw(FLOW_RUNS, run())
    store.saw(FLOW_DEPLOYMENTS, deployment())
    view = await observer.run(RUN)
    assert view
    script.answers = [(200, run(version=9, completionTime=TIME)), GONE]
    confirmed = await observer.confirm_run(RUN, view)
    assert confirmed
    assert confirmed.raw["status"]["completionTime"] == TIME
    assert await observer.confirm_run(RUN, view) is None
    assert store.get(FLOW_RUNS, "data", "etl-1") is None


def reconciler(cluster: Cluster, store: Store, *, leads: bool = True) -> Reconciler:
    room = Room(store, Settings(), lambda *_: None)
    return Reconciler(cluster, store, Settings(), room, lambda: leads)


async def test_before_a_run_is_created_its_deployment_is_read(
    cluster: Cluster, store: Store, script: Script
) -> None:
    """Another process has made that run, and deleted it since: it is not made again."""
    store.saw(FLOW_DEPLOYMENTS, deployment(version=1))
    suspended = deployment(version=2, suspend=True)
    script.answers = [BEGAN, (200, suspended), (200, suspended | {"status": {}})]
    await reconciler(cluster, store)(ETL)
    assert [seen.method for seen in script.seen] == ["GET", "GET", "PUT"]


async def test_what_was_applied_since_this_process_leads_need_not_be_read(
    observer: Observer, store: Store, script: Script
) -> None:
    """Whatever another one wrote before that is in it."""

    async def confirmed(version: int) -> str:
        store.saw(FLOW_DEPLOYMENTS, deployment(version=version))
        view = observer.deployment(ETL)
        assert view
        script.seen.clear()
        assert await observer.confirm_deployment(ETL, view)
        return ", ".join(reads(script))

    script.answers = [BEGAN]
    assert await confirmed(6) == "flowdeployments"
    assert await confirmed(7) == ""
    observer.forget()
    script.answers = [(200, {"metadata": {"resourceVersion": "9"}, "items": []})]
    script.answers.append((200, deployment(version=8)))
    assert await confirmed(8) == "flowdeployments, etl"
    assert await confirmed(9) == "", "once is enough"


async def test_where_runs_count_they_are_read_however_new_the_deployment_is(
    observer: Observer, store: Store, script: Script
) -> None:
    store.saw(FLOW_DEPLOYMENTS, deployment(version=9, concurrencyPolicy="Forbid"))
    store.saw(FLOW_RUNS, run())
    view = observer.deployment(ETL)
    assert view
    script.answers = [(200, view.raw), (200, {"metadata": {}, "items": []})]
    confirmed = await observer.confirm_deployment(ETL, view)
    assert confirmed
    assert confirmed.runs == []
    assert reads(script) == ["etl", "flowruns"]


async def test_what_is_gone_starts_nothing(cluster: Cluster, store: Store, script: Script) -> None:
    store.saw(FLOW_DEPLOYMENTS, deployment())
    script.answers = [BEGAN, GONE]
    assert await reconciler(cluster, store)(ETL) is None
    assert [seen.method for seen in script.seen] == ["GET", "GET"]


async def test_after_a_conflict_the_object_is_read(
    cluster: Cluster, store: Store, script: Script
) -> None:
    """Else it would be decided on what is known to be old, again and again."""
    store.saw(FLOW_RUNS, run(version=1))
    store.saw(FLOW_DEPLOYMENTS, deployment(concurrencyPolicy="Forbid"))
    conflict: Answer = (409, {"kind": "Status", "reason": "Conflict"})
    script.answers = [conflict, (200, run(version=4))]
    assert await reconciler(cluster, store)(RUN) == 0.0
    assert [seen.method for seen in script.seen] == ["PUT", "GET"]
    assert store.version(FLOW_RUNS, "data", "etl-1") == 4


async def test_who_does_not_lead_writes_nothing_and_knows_what_there_is_to_do(
    cluster: Cluster, store: Store, script: Script
) -> None:
    """When it takes over it need not look at everything first."""
    store.saw(FLOW_DEPLOYMENTS, deployment())
    store.saw(FLOW_DEPLOYMENTS, deployment("idle", suspend=True))
    standby = reconciler(cluster, store, leads=False)
    assert await standby(ETL) is None
    assert script.seen == []
    assert standby.take_over() == [ETL]
    assert standby.take_over() == []


async def test_what_another_did_meanwhile_is_not_left_to_do(
    cluster: Cluster, store: Store, script: Script
) -> None:
    store.saw(FLOW_RUNS, run(version=1))
    store.saw(FLOW_DEPLOYMENTS, deployment())
    standby = reconciler(cluster, store, leads=False)
    await standby(RUN)
    store.saw(FLOW_RUNS, run(version=2, completionTime=TIME))
    await standby(RUN)
    assert standby.take_over() == []


async def test_progress_that_follows_a_write_at_once_waits(
    cluster: Cluster, store: Store, script: Script
) -> None:
    """Several phases within a second are one write."""
    store.wrote(FLOW_RUNS, run(**STARTED | {"phase": "Fetching"}))
    store.saw(JOBS, job(JOB, 2, "etl-1"))
    running = pod("p", 3, JOB, "Running")
    running["status"]["containerStatuses"] = [
        {"name": "flow", "state": {"running": {"startedAt": TIME}}}
    ]
    store.saw(PODS, running)
    wait = await reconciler(cluster, store)(RUN)
    assert wait
    assert 0.0 < wait <= 1.0
    assert script.seen == []


async def test_a_conflict_over_what_is_gone_ends_there(
    cluster: Cluster, store: Store, script: Script
) -> None:
    store.saw(FLOW_RUNS, run(version=1))
    store.saw(FLOW_DEPLOYMENTS, deployment())
    script.answers = [GONE]
    handle = reconciler(cluster, store)
    assert await handle(RUN) == 0.0
    assert await handle(RUN) is None
