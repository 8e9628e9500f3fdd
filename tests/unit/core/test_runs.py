"""A FlowRun becomes Jobs, and what becomes of them is on its status."""

from datetime import timedelta
from typing import Any

import pytest

from flow_operator.core.decision import CreateJob, Refusal
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


@pytest.fixture
def world() -> World:
    world = World()
    world.put(deployment(runOn=[]))
    world.put(flow_run())
    world.reconcile()
    return world


def succeeded(world: World) -> dict[str, Any]:
    condition = world.condition("FlowRun", "Succeeded")
    assert condition is not None
    return condition


def test_run_is_taken_up_with_all_that_its_jobs_are_built_from(world: World) -> None:
    snapshot = world.one("FlowRun")["status"]["resolvedSpec"]
    assert snapshot["entrypoint"] == "etl.py:main"
    assert snapshot["image"] == world.settings.default_image
    assert len(world.all("Job")) == 1


def first_write(limit: int | None = None, **spec: Any) -> tuple[World, str]:
    """The world in which a new run was decided on once, and the kind of the first write."""
    world = World(limit)
    world.put(deployment(runOn=[], **spec))
    world.put(flow_run())
    (action,) = world.decide_run(world.one("FlowRun")).actions
    if isinstance(action, CreateJob):
        world.put(
            action.manifest
            | {
                "metadata": action.manifest["metadata"]
                | {"creationTimestamp": stamp(T0), "uid": "j"}
            }
        )
    return world, type(action).__name__


def test_first_job_tells_the_snapshot_until_the_status_does() -> None:
    """The deployment may be edited, and the operator be killed, between the two writes."""
    world, kind = first_write(parameters={"x": None})
    assert kind == "CreateJob"
    world.edit(entrypoint="other.py:main")
    world.now += timedelta(minutes=1)
    world.reconcile()
    status = world.one("FlowRun")["status"]
    assert status["resolvedSpec"]["entrypoint"] == "etl.py:main"
    assert status["resolvedSpec"]["parameters"] == {"x": None}
    assert status["startTime"] == stamp(T0)
    assert len(world.all("Job")) == 1


@pytest.mark.parametrize(
    ("limit", "spec"),
    [
        (1, {}),
        (None, {"concurrencyPolicy": "Forbid"}),
        (None, {"env": [{"name": f"N{n}", "value": "x" * 7000} for n in range(20)]}),
    ],
    ids=["limit of the operator", "limit of the deployment", "long"],
)
def test_status_tells_the_snapshot_first(limit: int | None, spec: dict[str, Any]) -> None:
    """Who counts runs goes by their status; and a Job cannot tell a snapshot of any length."""
    assert first_write(limit, **spec)[1] == "WriteStatus"


@pytest.mark.parametrize("told", [None, "", "[]", "{"])
def test_attempt_goes_on_without_a_snapshot(told: str | None) -> None:
    """Somebody took it off the Job: the attempt is followed to its end, and no other is made."""
    world, _ = first_write(retries={"limit": 3})
    annotations = world.one("Job")["metadata"]["annotations"]
    del annotations["flow-operator.io/resolved-spec"]
    if told is not None:
        annotations["flow-operator.io/resolved-spec"] = told
    name = world.one("Job")["metadata"]["name"]
    world.pods[name] = [pod(FETCHED, terminated(1), phase="Failed")]
    world.reconcile()
    assert succeeded(world)["status"] == "False"
    assert len(world.all("Job")) == 1


def test_edit_of_the_deployment_does_not_reach_a_run(world: World) -> None:
    """A second attempt is built from the snapshot, whatever happened to the deployment."""
    world.edit(entrypoint="other.py:main")
    world.pod_becomes(failed_fetch("SecretNotFound"))
    world.reconcile()
    world.now += timedelta(seconds=3)
    world.reconcile()
    second = world.all("Job")[-1]["spec"]["template"]["metadata"]["annotations"]
    assert len(world.all("Job")) == 2
    assert "etl.py:main" in second["flow-operator.io/plan"]


def test_parameters_and_env_of_the_run_win() -> None:
    """What a run says differs by name; the rest is the deployment's."""
    world = World()
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    world.put(deployment(runOn=[], parameters={"x": 1, "y": 2}, env=env))
    world.put(flow_run(parameters={"y": None, "z": [3]}, env=[{"name": "B", "value": "9"}]))
    world.reconcile()
    snapshot = world.one("FlowRun")["status"]["resolvedSpec"]
    assert snapshot["parameters"] == {"x": 1, "y": None, "z": [3]}
    assert snapshot["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "9"}]


def test_phases_follow_the_pod(world: World) -> None:
    """Pending, Fetching, Running, Succeeded; at the end with revision, result and durations."""
    seen = [world.one("FlowRun")["status"]["phase"]]
    for state in (pod(fetch=RUNNING), pod(FETCHED, RUNNING, "Running"), SUCCEEDED_POD):
        world.pod_becomes(state)
        world.now += timedelta(seconds=2)
        world.reconcile()
        seen.append(world.one("FlowRun")["status"]["phase"])
    assert seen == ["Pending", "Fetching", "Running", "Succeeded"]
    status = world.one("FlowRun")["status"]
    assert (status["revision"], status["result"]) == (COMMIT, {"rows": 10})
    assert status["duration"] == "6s"
    assert status["attempts"][0]["seconds"] == {"pending": 0.0, "fetch": 0.061, "run": 3.0}
    assert [c["type"] for c in status["conditions"]] == ["Succeeded"]
    assert [event.reason for event in world.events] == ["Succeeded"]


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        (failed_fetch("AuthenticationFailed"), "AuthenticationFailed", "it failed. mend it"),
        (failed_fetch("EntrypointNotFound"), "EntrypointNotFound", "mend it"),
        (failed_fetch("Succeeded"), "FetchFailed", "it failed"),
        (failed_fetch("FlowFailed"), "FetchFailed", "it failed"),
        (
            pod(terminated(137, reason="OOMKilled"), phase="Failed"),
            "FetchOutOfMemory",
            "spec.fetch.",
        ),
        (pod(terminated(1, "garbage"), phase="Failed"), "FetchFailed", "kubectl logs"),
        (pod(FETCHED, terminated(1), "Failed"), "FlowFailed", "kubectl logs"),
        (pod(FETCHED, terminated(220), "Failed"), "EntrypointNotFound", "spec.entrypoint"),
        (pod(FETCHED, terminated(221), "Failed"), "InvalidParameters", "spec.parameters"),
        (
            pod(FETCHED, terminated(137, reason="OOMKilled"), "Failed"),
            "FlowOutOfMemory",
            "spec.resources",
        ),
        (
            pod(FETCHED, terminated(128, "no python3", reason="StartError"), "Failed"),
            "ContainerStartFailed",
            "no python3",
        ),
    ],
)
def test_each_failure_has_its_reason(
    world: World, state: dict[str, Any], reason: str, words: str
) -> None:
    """A failed run says why, and what can be done."""
    world.pod_becomes(state)
    world.reconcile()
    assert world.one("FlowRun")["status"]["phase"] == "Failed"
    assert succeeded(world)["reason"] == reason
    assert words in succeeded(world)["message"]
    assert world.events[-1].type == "Warning"


def test_forged_message_of_the_main_container_is_not_believed(world: World) -> None:
    """User code can claim anything; its exit code and the fetcher decide."""
    forged = '{"reason":"Succeeded","revision":"' + "f" * 40 + '","result":1}'
    world.pod_becomes(pod(FETCHED, terminated(1, forged), "Failed"))
    world.reconcile()
    status = world.one("FlowRun")["status"]
    assert (status["phase"], status["revision"]) == ("Failed", COMMIT)
    assert "result" not in status


def test_late_secret_leads_to_success(world: World) -> None:
    """A missing Secret is waited for with new Jobs, and the run succeeds once it is there."""
    for _ in range(4):
        world.pod_becomes(failed_fetch("SecretNotFound"))
        world.reconcile()
        assert succeeded(world)["reason"] == "SecretNotFound"
        assert succeeded(world)["status"] == "Unknown"
        world.now += timedelta(seconds=20)
        world.reconcile()
    world.pod_becomes(SUCCEEDED_POD)
    world.reconcile()
    status = world.one("FlowRun")["status"]
    assert status["phase"] == "Succeeded"
    assert [attempt["number"] for attempt in status["attempts"]] == [1, 2, 3, 4, 5]


def test_secret_that_never_comes_ends_the_run(world: World) -> None:
    """After pendingDeadlineSeconds the run fails with SecretNotFound."""
    while world.one("FlowRun")["status"]["phase"] == "Pending":
        world.pod_becomes(failed_fetch("SecretNotFound"))
        world.reconcile()
        world.now += timedelta(seconds=30)
        world.reconcile()
    assert world.now - T0 <= timedelta(seconds=400)
    assert succeeded(world)["reason"] == "SecretNotFound"


def test_image_that_cannot_be_pulled_ends_at_the_pending_deadline(world: World) -> None:
    """The reason shows at once; at the deadline the Job is stopped and the run fails with it."""
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}
    world.pod_becomes(pod(fetch=waiting))
    world.reconcile()
    assert succeeded(world)["reason"] == "ImagePullFailed"
    world.now += timedelta(seconds=301)
    world.reconcile()
    assert world.one("Job")["spec"]["suspend"] is True
    assert world.one("FlowRun")["status"]["phase"] == "Failed"
    assert succeeded(world)["reason"] == "ImagePullFailed"


def test_slow_image_of_the_user_is_waited_for(world: World) -> None:
    """A pull that goes on is no failure, however long it takes."""
    creating = {"waiting": {"reason": "PodInitializing"}}
    world.pod_becomes(pod(FETCHED, creating))
    world.now += timedelta(seconds=1000)
    world.reconcile()
    assert world.one("FlowRun")["status"]["phase"] == "Fetching"


def test_waiting_for_the_image_counts_from_the_end_of_the_fetch(world: World) -> None:
    """The kubelet pulls it only then: a long fetch leaves it as much time as a short one."""
    fetched = terminated(
        0, FETCHED["terminated"]["message"], finishedAt=stamp(T0 + timedelta(seconds=400))
    )
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "a gateway is tired"}}
    world.pod_becomes(pod(fetched, waiting))
    world.now += timedelta(seconds=410)
    world.reconcile()
    assert succeeded(world)["reason"] == "ImagePullFailed"
    assert world.one("FlowRun")["status"]["phase"] == "Fetching"
    world.now = T0 + timedelta(seconds=701)
    world.reconcile()
    assert world.one("FlowRun")["status"]["phase"] == "Failed"


def test_cancel_before_the_job() -> None:
    """A run that is cancelled at once never gets a Job."""
    world = World()
    world.put(deployment(runOn=[]))
    world.put(flow_run(cancel=True))
    world.reconcile()
    assert world.one("FlowRun")["status"]["phase"] == "Cancelled"
    assert world.all("Job") == []


def test_cancel_stops_the_pod_and_then_ends_the_run(world: World) -> None:
    """The Job is kept but suspended; the run is Cancelled when its Pod is gone."""
    world.pod_becomes(pod(FETCHED, RUNNING, "Running"))
    world.reconcile()
    world.one("FlowRun")["spec"]["cancel"] = True
    world.reconcile()
    assert world.one("Job")["spec"]["suspend"] is True
    assert world.one("FlowRun")["status"]["phase"] == "Cancelled"


def test_cancel_after_success_changes_nothing(world: World) -> None:
    """What has ended well stays so."""
    world.one("FlowRun")["spec"]["cancel"] = True
    world.pod_becomes(SUCCEEDED_POD)
    world.reconcile()
    assert world.one("FlowRun")["status"]["phase"] == "Succeeded"


def test_deleted_job_fails_the_run(world: World) -> None:
    """A Job that somebody deletes is not made again: that could run the code twice."""
    world.objects = {key: obj for key, obj in world.objects.items() if key[0] != "Job"}
    world.reconcile()
    assert succeeded(world)["reason"] == "JobDeleted"


def test_run_waits_for_its_deployment() -> None:
    """A FlowRun that is applied before its FlowDeployment waits, and fails when it never comes."""
    world = World()
    world.put(flow_run())
    world.reconcile()
    assert succeeded(world)["reason"] == "DeploymentNotFound"
    assert world.one("FlowRun")["status"]["phase"] == "Pending"
    world.put(deployment(runOn=[]))
    world.reconcile()
    assert len(world.all("Job")) == 1

    late = World()
    late.put(flow_run())
    late.now += timedelta(seconds=301)
    late.reconcile()
    assert late.one("FlowRun")["status"]["phase"] == "Failed"


def test_refused_job_is_final_or_waited_out(world: World) -> None:
    """An invalid Job fails the run with the server's words; a full quota is waited for."""
    raw = flow_run()
    raw["status"] = {
        "resolvedSpec": world.one("FlowRun")["status"]["resolvedSpec"],
        "startTime": stamp(T0),
    }
    invalid = Refusal("InvalidSpec", "spec.template: image is wrong", final=True)
    final = decide_run(RunView(raw), T0, world.settings, invalid)
    assert final.actions[0].status["phase"] == "Failed"  # type: ignore[union-attr]
    quota = Refusal("AdmissionDenied", "exceeded quota", final=False)
    wait = decide_run(RunView(raw), T0, world.settings, quota)
    assert wait.actions[0].status["phase"] == "Pending"  # type: ignore[union-attr]
    assert wait.requeue_after
    late = decide_run(RunView(raw), T0 + timedelta(seconds=301), world.settings, quota)
    assert late.actions[0].status["phase"] == "Failed"  # type: ignore[union-attr]


def test_retry_fetches_the_revision_that_was_seen(world: World) -> None:
    """Once a revision is known, every later attempt is pinned to it."""
    raw = world.one("FlowRun")
    raw["status"]["revision"] = COMMIT
    raw["status"]["attempts"][0] |= {"completionTime": stamp(T0), "reason": "SecretNotFound"}
    decision = decide_run(RunView(raw), T0 + timedelta(seconds=5), world.settings)
    (create,) = decision.actions
    assert isinstance(create, CreateJob)
    plan = create.manifest["spec"]["template"]["metadata"]["annotations"]["flow-operator.io/plan"]
    assert f'"revision":"{COMMIT}"' in plan
