"""Schedules and the life of runs on a real cluster, all of it going on at the same time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from tests.e2e.kube import FINISHED, Namespace, Object, condition, phase, wait_for
from tests.e2e.servers import TOKEN, Servers

CODE = """\
import os
import time

def told():
    return [os.environ["FLOW_SCHEDULED_TIME"], os.environ["FLOW_SCHEDULE"]]

def patient():
    time.sleep(300)

def broken():
    raise ValueError("attempt " + os.environ["FLOW_ATTEMPT"])
"""

EVERY = timedelta(seconds=8)
AHEAD = ("ahead", "left-out", "held-back")


def every(seconds: int, **more: Any) -> list[dict[str, Any]]:
    return [{"name": "fast", "interval": {"every": f"{seconds}s"}, **more}]


@pytest.fixture(scope="module", autouse=True)
def commit(namespace: Namespace, servers: Servers) -> str:
    """Everything is applied at once, so that the tests wait for the same seconds."""
    commit = servers.put_repository("schedules", {"flow.py": CODE})
    secret = {"name": "git-token"}
    source = {"git": {"url": servers.git_url("schedules"), "secretRef": secret}}
    source["git"]["provider"] = "github"

    def deployment(name: str, function: str, **spec: Any) -> Object:
        short = {"terminationGracePeriodSeconds": 1}
        entrypoint = f"flow.py:{function}"
        return namespace.deployment(name, source=source, entrypoint=entrypoint, **{**short, **spec})

    namespace.apply(
        namespace.secret("git-token", token=TOKEN, **{"ca.crt": servers.ca}),
        {  # containers have limits, so that one that asks for more than there may be is refused
            "apiVersion": "v1",
            "kind": "LimitRange",
            "metadata": {"name": "limits", "namespace": namespace.name},
            "spec": {
                "limits": [
                    {
                        "type": "Container",
                        "max": {"cpu": "64"},
                        "default": {"cpu": "4"},
                        "defaultRequest": {"cpu": "10m"},
                    }
                ]
            },
        },
        deployment(
            "fast", "told", schedules=every(8), catchUp="all", successfulRunsHistoryLimit=100
        ),
        deployment("forbid", "patient", schedules=every(3), concurrencyPolicy="Forbid"),
        deployment("replace", "patient", schedules=every(15), concurrencyPolicy="Replace"),
        deployment("enqueue", "patient", schedules=every(5), concurrencyPolicy="Enqueue"),
        deployment("suspended", "told", schedules=every(3), suspend=True),
        deployment(
            "invalid",
            "told",
            schedules=[{"name": "wrong", "cron": "99 * * * *"}, *every(5)],
            concurrencyPolicy="Forbid",
        ),
        *(deployment(name, "told", schedules=every(40)) for name in AHEAD),
        deployment("retried", "broken", retries={"limit": 1, "backoff": {"duration": "1s"}}),
        deployment("late", "patient", activeDeadlineSeconds=8),
        deployment("late-attempt", "patient", attemptDeadlineSeconds=4),
        deployment("drained", "patient"),
        deployment(
            "refused", "told", resources={"limits": {"cpu": "65"}}, pendingDeadlineSeconds=14
        ),
    )
    return commit


def test_one_run_a_tick(namespace: Namespace) -> None:
    """Every tick since the deployment was created has one run, which was told its tick."""

    def some() -> list[Object] | None:
        runs = [run for run in namespace.runs("fast") if phase(run) == "Succeeded"]
        return runs if len(runs) >= 3 else None

    runs = wait_for(some, 120, "three runs of a schedule", namespace.explain)
    every_run = namespace.runs("fast")
    times = sorted(run["spec"]["trigger"]["scheduledTime"] for run in every_run)
    ticks = [datetime.fromisoformat(time) for time in times]
    assert {later - tick for tick, later in pairwise(ticks)} == {EVERY}
    created = datetime.fromisoformat(namespace.get("fd", "fast")["metadata"]["creationTimestamp"])
    assert timedelta() < ticks[0] - created <= EVERY
    for run in runs:
        assert run["status"]["result"] == [run["spec"]["trigger"]["scheduledTime"], "fast"]
    status = namespace.get("fd", "fast")["status"]
    upcoming = datetime.fromisoformat(status["nextScheduleTime"])
    assert abs(upcoming - datetime.now(UTC)) < timedelta(seconds=30)
    assert status["schedule"] == "every 8s"


def scheduled(namespace: Namespace, deployment: str) -> Object:
    """The run of a tick that is some seconds away."""

    def look() -> Object | None:
        soon = (datetime.now(UTC) + timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
        for run in namespace.runs(deployment):
            if phase(run) == "Scheduled" and run["spec"]["trigger"]["scheduledTime"] > soon:
                return run
        return None

    return wait_for(look, 90, f"a run of {deployment} to be scheduled", namespace.explain)


def test_a_run_is_scheduled_ahead(namespace: Namespace) -> None:
    """It is there before its tick, and begins then."""
    name = scheduled(namespace, "ahead")["metadata"]["name"]
    run = namespace.finished(name, 90)
    tick = run["spec"]["trigger"]["scheduledTime"]
    assert phase(run) == "Succeeded"
    assert run["metadata"]["creationTimestamp"] < tick <= run["status"]["startTime"]


def test_a_scheduled_run_can_be_left_out(namespace: Namespace) -> None:
    """Cancelled before its tick, it never has a Job."""
    name = scheduled(namespace, "left-out")["metadata"]["name"]
    namespace.run("patch", "fr", name, "--type=merge", "-p", '{"spec":{"cancel":true}}')
    run = namespace.finished(name, 30)
    assert phase(run) == "Cancelled"
    assert run["status"]["completionTime"] < run["spec"]["trigger"]["scheduledTime"]
    assert namespace.jobs_of(run) == []


def test_a_suspended_deployment_has_no_scheduled_run(namespace: Namespace) -> None:
    """It is deleted as soon as its deployment does not want it any more."""
    run = scheduled(namespace, "held-back")
    namespace.run("patch", "fd", "held-back", "--type=merge", "-p", '{"spec":{"suspend":true}}')

    def is_gone() -> bool | None:
        there = {found["metadata"]["uid"] for found in namespace.runs("held-back")}
        return run["metadata"]["uid"] not in there or None

    wait_for(is_gone, 15, "the scheduled run to be deleted", namespace.explain)
    assert namespace.jobs_of(run) == []


def test_failing_flow_is_retried(namespace: Namespace, commit: str) -> None:
    """Both attempts are on record; the second was told what the first had fetched."""
    run = namespace.finished_run("retried")
    attempts = run["status"]["attempts"]
    assert [attempt["reason"] for attempt in attempts] == ["FlowFailed", "FlowFailed"]
    assert [attempt["revision"] for attempt in attempts] == [commit, commit]
    assert [attempt["pinned"] for attempt in attempts] == [False, True]
    assert run["status"]["retries"] == 1
    assert len(namespace.jobs_of(run)) == 2
    logs = sorted(namespace.logs(pod, "flow") for pod in namespace.pods_of(run))
    assert ["attempt 1" in logs[0], "attempt 2" in logs[1]] == [True, True]


def test_a_drain_is_followed_by_another_attempt(namespace: Namespace) -> None:
    """An eviction makes a new attempt, which is no retry."""

    def running() -> Object | None:
        runs = namespace.runs("drained")
        return runs[0] if runs and phase(runs[0]) == "Running" else None

    run = wait_for(running, 60, "the run to be drained", namespace.explain)
    (pod,) = namespace.pods_of(run)
    name = pod["metadata"]["name"]
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace.name},
    }
    path = f"/api/v1/namespaces/{namespace.name}/pods/{name}/eviction"
    namespace.run("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))

    def again() -> Object | None:
        got = namespace.get("fr", run["metadata"]["name"])
        return got if len(got["status"]["attempts"]) == 2 else None

    status = wait_for(again, 90, "a second attempt", namespace.explain)["status"]
    assert status["attempts"][0]["reason"] == "Disrupted"
    assert (status["disruptions"], status.get("retries")) == (1, None)


def test_deadlines(namespace: Namespace) -> None:
    """A run, or an attempt, that takes too long is stopped and says which limit it was."""
    late = namespace.finished_run("late")
    assert condition(late, "Succeeded")["reason"] == "DeadlineExceeded"
    assert {pod["status"]["phase"] for pod in namespace.pods_of(late)} <= {"Failed"}
    attempt = namespace.finished_run("late-attempt")
    assert condition(attempt, "Succeeded")["reason"] == "AttemptDeadlineExceeded"
    assert len(namespace.pods_of(attempt)) == 1  # it stays for its log


def test_refused_pod_is_told_and_ends(namespace: Namespace) -> None:
    """What only the Job's Events say is the run's reason; it does not hang."""
    refused = condition(namespace.finished_run("refused"), "Succeeded")
    assert refused["reason"] == "AdmissionDenied"
    assert "maximum cpu" in refused["message"]


def test_forbid_skips(namespace: Namespace) -> None:
    """One run goes on, and the ticks that found it are told."""

    def skipped() -> bool | None:
        events = namespace.list("events", "--field-selector=reason=TickSkipped")
        return any("of schedule fast" in event["message"] for event in events) or None

    wait_for(skipped, 90, "a tick to be skipped", namespace.explain)
    (run,) = namespace.runs("forbid")
    assert phase(run) not in FINISHED


def test_replace_makes_room(namespace: Namespace) -> None:
    """The older run is cancelled with its reason, and the newer one then starts."""

    def replaced() -> list[Object] | None:
        runs = namespace.runs("replace")
        return runs if len(runs) > 1 and phase(runs[0]) == "Cancelled" else None

    first, second, *_ = wait_for(replaced, 60, "a run to be replaced", namespace.explain)
    said = condition(first, "Succeeded")
    assert said["reason"] == "Replaced"
    assert second["metadata"]["name"] in said["message"]


def test_enqueue_makes_wait(namespace: Namespace) -> None:
    """Runs are there for every tick; one of them has a Job."""

    def waiting() -> list[Object] | None:
        runs = namespace.runs("enqueue")
        return runs if [phase(run) for run in runs].count("Queued") > 1 else None

    runs = wait_for(waiting, 90, "queued runs", namespace.explain)
    assert sum(len(namespace.jobs_of(run)) for run in runs) == 1


def test_suspended_and_invalid(namespace: Namespace) -> None:
    """A suspended schedule runs nothing; an invalid one says so and leaves the others alone."""
    assert namespace.runs("suspended") == []
    assert condition(namespace.get("fd", "suspended"), "Ready")["reason"] == "Suspended"
    ready = condition(namespace.get("fd", "invalid"), "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "InvalidSpec")
    assert "spec.schedules[0].cron" in ready["message"]
    assert len(namespace.runs("invalid")) >= 1
