"""Attempts after attempts: what is tried again, how soon, for how long, and what is not."""

from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest

from flow_operator.api.v1alpha1 import FlowRun, Reason
from flow_operator.api.v1alpha1.flowrun import Attempt
from flow_operator.api.v1alpha1.lifecycle import CLASS_OF, RETRIABLE, FailureClass, Retries
from flow_operator.core.deadlines import retry_time
from flow_operator.core.decision import SuspendJob
from flow_operator.core.runs import RunView, decide_run
from tests.unit.core.world import (
    COMMIT,
    FETCHED,
    RUNNING,
    SUCCEEDED_POD,
    T0,
    World,
    deployment,
    failed_fetch,
    flow_run,
    pod,
    stamp,
    terminated,
)

FAILED = pod(FETCHED, terminated(1), "Failed")
DRAINED = pod(
    FETCHED,
    terminated(143),
    "Failed",
    [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}],
)


def world_with(**spec: Any) -> World:
    world = World()
    world.put(deployment(runOn=[], **spec))
    world.put(flow_run())
    world.reconcile()
    return world


def status(world: World) -> dict[str, Any]:
    found: dict[str, Any] = world.one("FlowRun")["status"]
    return found


def reason(world: World) -> str:
    return str(status(world)["conditions"][0]["reason"])


def later(world: World, seconds: float) -> None:
    world.now += timedelta(seconds=seconds)
    world.reconcile()


def attempt_ends(world: World, how: dict[str, Any]) -> None:
    world.pod_becomes(how)
    world.reconcile()


def test_without_retries_a_failure_is_the_end() -> None:
    """Nothing is tried again unless somebody says so."""
    world = world_with()
    attempt_ends(world, FAILED)
    assert (status(world)["phase"], reason(world)) == ("Failed", "FlowFailed")


def test_a_failed_attempt_is_followed_by_others_up_to_the_limit() -> None:
    """Every attempt is on record, runs the same snapshot, and is pinned to what the first saw."""
    world = world_with(retries={"limit": 2, "backoff": {"duration": "10s", "factor": 3}})
    attempt_ends(world, FAILED)
    assert status(world)["phase"] == "Pending"
    later(world, 9)
    assert len(world.all("Job")) == 1
    later(world, 3)
    assert len(world.all("Job")) == 2
    world.edit(entrypoint="other.py:main")
    attempt_ends(world, FAILED)
    later(world, 29)
    assert len(world.all("Job")) == 2
    later(world, 5)
    attempt_ends(world, FAILED)
    assert (status(world)["phase"], reason(world)) == ("Failed", "FlowFailed")
    assert status(world)["retries"] == 2
    attempts = status(world)["attempts"]
    assert [attempt["pinned"] for attempt in attempts] == [False, True, True]
    assert {attempt["reason"] for attempt in attempts} == {"FlowFailed"}
    plans = [
        job["spec"]["template"]["metadata"]["annotations"]["flow-operator.io/plan"]
        for job in world.all("Job")
    ]
    assert [COMMIT in plan for plan in plans] == [False, True, True]
    assert all("etl.py:main" in plan for plan in plans)


@pytest.mark.parametrize(
    ("on", "state", "again"),
    [
        (None, FAILED, True),
        (None, failed_fetch("SourceUnreachable"), True),
        (None, failed_fetch("SourceRejected"), False),
        (None, pod(FETCHED, terminated(220), "Failed"), False),
        (["FetchFailed"], FAILED, False),
        (["FetchFailed"], failed_fetch("AuthenticationFailed"), True),
        (["SourceUnreachable"], failed_fetch("AuthenticationFailed"), False),
        (["SourceUnreachable"], failed_fetch("SourceUnreachable"), True),
        (["FlowFailed"], pod(FETCHED, terminated(137, reason="OOMKilled"), "Failed"), True),
        (["FlowOutOfMemory"], FAILED, False),
        (["AttemptDeadlineExceeded"], FAILED, False),
    ],
)
def test_only_what_is_named_is_tried_again(
    on: list[str] | None, state: dict[str, Any], again: bool
) -> None:
    """Classes, and single reasons; and nothing that another attempt cannot mend."""
    retries = {"limit": 1, **({"reasons": on} if on else {})}
    world = world_with(retries=retries)
    attempt_ends(world, state)
    assert status(world)["phase"] == ("Pending" if again else "Failed")


def test_every_reason_of_a_class_can_be_named() -> None:
    """The table of classes, the schema and the decision know the same names."""
    assert set(CLASS_OF.values()) == set(FailureClass)
    for known, kind in CLASS_OF.items():
        assert {known, kind} <= set(RETRIABLE)
        for name in (known, kind):
            assert Retries(limit=1, reasons=[str(name)]).covers(known)
    assert not Retries(limit=1).covers(Reason.CANCELLED)


def test_waits_grow_up_to_their_limit_and_spread() -> None:
    """Up to a tenth is added, always the same for the same attempt, another for another run."""
    spread = set()
    for uid in range(30):
        raw = flow_run()
        raw["metadata"]["uid"] = f"uid-{uid}"
        backoff = {"duration": "30s", "factor": 2, "maxDuration": "2m"}
        raw["status"] = {"resolvedSpec": {"retries": {"limit": 9, "backoff": backoff}}}
        run = FlowRun.model_validate(raw)
        attempt = Attempt(number=1, job_name="x", completion_time=T0, reason="FlowFailed")
        for count, wanted in ((1, 30), (2, 60), (3, 120), (4, 120), (99, 120)):
            wait = (retry_time(run, attempt, retries=count, disruptions=0) - T0).total_seconds()
            assert wanted <= wait <= wanted * 1.1
            spread.add(wait / wanted)
    assert len(spread) > 20


def test_a_disruption_is_tried_again_and_does_not_count() -> None:
    """Drains, preemptions and spot nodes: another attempt, soon, beside the retries."""
    world = world_with(retries={"limit": 1})
    for _ in range(3):
        attempt_ends(world, DRAINED)
        later(world, 30)
    attempt_ends(world, FAILED)
    later(world, 30)
    attempt_ends(world, SUCCEEDED_POD)
    found = status(world)
    assert (found["phase"], found["disruptions"], found["retries"]) == ("Succeeded", 3, 1)
    assert [a["reason"] for a in found["attempts"]] == [
        *["Disrupted"] * 3, "FlowFailed", "Succeeded",
    ]  # fmt: skip


def test_a_disruption_whose_pod_is_gone_is_still_one() -> None:
    """The Job keeps the evidence: its failure policy knows no other cause."""
    world = world_with()
    world.pods.clear()
    world.one("Job")["status"] = {
        "conditions": [{"type": "Failed", "status": "True", "reason": "PodFailurePolicy"}]
    }
    world.reconcile()
    assert (status(world)["phase"], reason(world)) == ("Pending", "Disrupted")


def test_a_job_that_is_about_to_end_does_not_lack_a_pod() -> None:
    """Its Pod goes before its controller has said how it ended."""
    world = world_with()
    world.pod_becomes(pod(FETCHED, RUNNING, phase="Running"))
    later(world, 400)
    world.pods.clear()
    world.one("Job")["status"] = {
        "conditions": [{"type": "FailureTarget", "status": "True", "reason": "PodFailurePolicy"}]
    }
    world.reconcile()
    assert status(world)["phase"] == "Pending"
    world.one("Job")["status"]["conditions"].append(
        {"type": "Failed", "status": "True", "reason": "PodFailurePolicy"}
    )
    world.reconcile()
    assert (status(world)["phase"], reason(world)) == ("Pending", "Disrupted")


def test_disruptions_end_at_some_point() -> None:
    """After ten of them the run gives up and says why."""
    world = world_with()
    for _ in range(11):
        attempt_ends(world, DRAINED)
        later(world, 120)
    assert (status(world)["phase"], reason(world)) == ("Failed", "Disrupted")
    assert len(world.all("Job")) == 11


def test_deadline_of_an_attempt_is_the_kubelets_to_keep() -> None:
    """The Pod is told; what it then says is a failure of its own class."""
    world = world_with(attemptDeadlineSeconds=60, retries={"limit": 1})
    assert world.one("Job")["spec"]["template"]["spec"]["activeDeadlineSeconds"] == 60
    late = deepcopy(FAILED)
    late["status"]["reason"] = "DeadlineExceeded"
    attempt_ends(world, late)
    assert (status(world)["phase"], reason(world)) == ("Pending", "AttemptDeadlineExceeded")
    later(world, 30)
    attempt_ends(world, late)
    assert (status(world)["phase"], reason(world)) == ("Failed", "AttemptDeadlineExceeded")


def test_deadline_of_the_run_counts_over_attempts() -> None:
    """The second attempt gets what is left; then the Pod is stopped and the run fails."""
    world = world_with(activeDeadlineSeconds=100, attemptDeadlineSeconds=80, retries={"limit": 5})
    attempt_ends(world, FAILED)
    later(world, 40)
    first, second = world.all("Job")
    assert first["spec"]["template"]["spec"]["activeDeadlineSeconds"] == 80
    assert second["spec"]["template"]["spec"]["activeDeadlineSeconds"] == 60
    world.pod_becomes(pod(FETCHED, RUNNING, "Running"))
    later(world, 60)
    assert second["spec"]["suspend"] is True
    assert (status(world)["phase"], reason(world)) == ("Failed", "DeadlineExceeded")


def test_no_attempt_begins_after_the_deadline_of_the_run() -> None:
    """A run that waits for its next attempt ends then, with the last failure in its words."""
    world = world_with(
        activeDeadlineSeconds=20, retries={"limit": 5, "backoff": {"duration": "1h"}}
    )
    attempt_ends(world, FAILED)
    later(world, 20)
    assert reason(world) == "DeadlineExceeded"
    assert "exit code 1" in status(world)["conditions"][0]["message"]
    assert len(world.all("Job")) == 1


def test_stopping_lets_the_pod_end() -> None:
    """A run that is out of time has ended once its Pod is gone, which has its grace period."""
    world = world_with(activeDeadlineSeconds=60, terminationGracePeriodSeconds=120)
    job = world.one("Job")
    assert job["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 120
    raw, running = world.one("FlowRun"), pod(FETCHED, RUNNING, "Running")
    late = T0 + timedelta(seconds=61)
    stopping = decide_run(RunView(raw, job=job, pods=[running]), late, world.settings)
    assert isinstance(stopping.actions[0], SuspendJob)
    assert stopping.actions[1].status["phase"] == "Running"  # type: ignore[union-attr]
    job["spec"]["suspend"] = True
    killed = pod(FETCHED, terminated(143), "Failed")
    over = decide_run(RunView(raw, job=job, pods=[killed]), late, world.settings)
    assert over.actions[0].status["conditions"][0]["reason"] == "DeadlineExceeded"  # type: ignore[union-attr]


def test_success_at_the_last_moment_is_success() -> None:
    """What ended well stays so, deadline or not."""
    world = world_with(activeDeadlineSeconds=60)
    world.pod_becomes(SUCCEEDED_POD)
    later(world, 61)
    assert status(world)["phase"] == "Succeeded"


def test_a_later_attempt_may_wait_as_long_as_the_first() -> None:
    """The pending deadline counts from each attempt, not from the run's beginning."""
    world = world_with(retries={"limit": 1, "backoff": {"duration": "10s"}})
    world.pod_becomes(pod(FETCHED, RUNNING, "Running"))
    later(world, 1000)
    attempt_ends(world, FAILED)
    later(world, 15)
    world.pod_becomes(pod(fetch={"waiting": {"reason": "ImagePullBackOff"}}))
    later(world, 200)
    assert (status(world)["phase"], reason(world)) == ("Pending", "ImagePullFailed")
    later(world, 101)
    assert (status(world)["phase"], reason(world)) == ("Failed", "ImagePullFailed")


def test_cancel_between_attempts() -> None:
    """A run that waits for its next attempt is cancelled at once."""
    world = world_with(retries={"limit": 1})
    attempt_ends(world, FAILED)
    world.one("FlowRun")["spec"]["cancel"] = True
    world.reconcile()
    assert status(world)["phase"] == "Cancelled"
    assert "between two attempts" in status(world)["conditions"][0]["message"]
    assert len(world.all("Job")) == 1


def test_a_job_that_gets_no_pod_says_whose_words() -> None:
    """A quota that refuses the Pod shows in Events of the Job alone; from there it is told."""
    world = world_with()
    job, raw = world.one("Job"), world.one("FlowRun")
    events = [
        {"reason": "FailedCreate", "type": "Warning", "lastTimestamp": stamp(T0), "message": "old"},
        {
            "reason": "FailedCreate",
            "type": "Warning",
            "lastTimestamp": stamp(T0 + timedelta(seconds=5)),
            "message": 'Error creating: pods "x" is forbidden: exceeded quota: q',
        },
    ]
    view = RunView(raw, job=job, events=events)
    waiting = decide_run(view, T0 + timedelta(seconds=10), world.settings)
    condition = waiting.actions[0].status["conditions"][0]  # type: ignore[union-attr]
    assert condition["reason"] == "AdmissionDenied"
    assert "exceeded quota" in condition["message"]
    over = decide_run(view, T0 + timedelta(seconds=301), world.settings)
    ended = over.actions[1].status  # type: ignore[union-attr]
    assert (ended["phase"], ended["conditions"][0]["reason"]) == ("Failed", "AdmissionDenied")


def test_a_run_that_says_when_deletes_itself() -> None:
    """A FlowRun of one's own may go after a while; one of the operator's is not its business."""
    world = World()
    world.put(deployment(runOn=[]))
    world.put(flow_run(ttlSecondsAfterFinished=60))
    world.reconcile()
    attempt_ends(world, SUCCEEDED_POD)
    raw = world.one("FlowRun")
    assert decide_run(RunView(raw), world.now, world.settings).requeue_after == 60.0
    later(world, 61)
    assert world.all("FlowRun") == []
