"""What was decided is carried out in order, and what happened before counts as done."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from flow_operator.core.decision import (
    Action,
    CancelRun,
    CreateJob,
    CreateRun,
    DeleteRun,
    EmitEvent,
    SuspendJob,
    WriteStatus,
)
from flow_operator.shell.apply import apply
from flow_operator.shell.cluster import FLOW_RUNS, Cluster
from flow_operator.shell.errors import ConflictError, NamespaceGoneError, UnavailableError
from flow_operator.shell.store import Store
from tests.unit.shell.conftest import Script

READ = {
    "metadata": {"namespace": "data", "name": "r", "uid": "u1", "resourceVersion": "7"},
    "spec": {},
}


def owned(uid: str) -> list[dict[str, Any]]:
    return [{"kind": "FlowRun", "name": "r", "uid": uid, "controller": True}]


def manifest(uid: str = "u1") -> dict[str, Any]:
    return {"metadata": {"namespace": "data", "name": "j", "ownerReferences": owned(uid)}}


def answer(name: str = "j", uid: str = "j1", version: str = "8") -> dict[str, Any]:
    """What the API server answers a write with."""
    meta = manifest()["metadata"] | {"name": name, "uid": uid, "resourceVersion": version}
    return {"metadata": meta}


def status(code: int, reason: str, message: str = "", **details: Any) -> tuple[int, Any]:
    body = {"kind": "Status", "reason": reason, "message": message, "details": details}
    return code, body


EVENT = EmitEvent("flow-1", "Normal", "RunCreated", "Created FlowRun r", "CreateRun")
THERE = status(409, "AlreadyExists")
OK = (200, answer())


async def test_actions_are_carried_out_in_order(
    cluster: Cluster, store: Store, script: Script
) -> None:
    script.answers = [OK]
    actions = (CreateJob(manifest()), EVENT, WriteStatus({}), DeleteRun("old", "u0"))
    assert await apply(cluster, store, FLOW_RUNS, READ, actions) is None
    assert [(seen.method, seen.path.rsplit("/", 1)[-1]) for seen in script.seen] == [
        ("POST", "jobs"),
        ("POST", "events"),
        ("PUT", "status"),
        ("DELETE", "old"),
    ]


async def test_one_of_ours_counts_as_created(
    cluster: Cluster, store: Store, script: Script
) -> None:
    """This process was killed after the create, or another one was faster."""
    script.answers = [THERE, OK]
    assert (
        await apply(cluster, store, FLOW_RUNS, READ, (CreateJob(manifest()), WriteStatus({})))
        is None
    )
    assert [seen.method for seen in script.seen] == ["POST", "GET", "PUT"]


@pytest.mark.parametrize("owner", ["u2", None])
async def test_a_strangers_is_a_name_conflict(
    cluster: Cluster, store: Store, script: Script, owner: str | None
) -> None:
    """It may go away: the name may be free at another time. Nothing after it is carried out."""
    other = manifest(owner) if owner else {"metadata": {"namespace": "data", "name": "j"}}
    script.answers = [THERE, (200, other)]
    refusal = await apply(cluster, store, FLOW_RUNS, READ, (CreateRun(manifest()), WriteStatus({})))
    assert refusal
    assert refusal.reason == "NameConflict"
    assert not refusal.final
    assert len(script.seen) == 2


@pytest.mark.parametrize(
    ("answer", "reason", "final"),
    [
        (status(422, "Invalid", "spec.template: no"), "InvalidSpec", True),
        (status(400, "BadRequest", "unknown field"), "InvalidSpec", True),
        (status(403, "Forbidden", "exceeded quota: q"), "AdmissionDenied", False),
        (
            status(403, "Forbidden", 'User "u" cannot create resource "jobs"'),
            "AdmissionDenied",
            False,
        ),
    ],
)
async def test_a_refusal_keeps_the_servers_words(
    cluster: Cluster,
    store: Store,
    script: Script,
    answer: tuple[int, Any],
    reason: str,
    final: bool,
) -> None:
    script.answers = [answer]
    refusal = await apply(cluster, store, FLOW_RUNS, READ, (CreateJob(manifest()),))
    assert refusal
    assert (refusal.reason, refusal.final) == (reason, final)
    assert answer[1]["message"] in refusal.message


@pytest.mark.parametrize("create", [CreateJob, CreateRun])
async def test_what_need_not_be_created_may_be_refused(
    cluster: Cluster, store: Store, script: Script, create: type[CreateJob | CreateRun]
) -> None:
    """Another decision tries again; what comes after it is carried out."""
    script.answers = [status(403, "Forbidden", "exceeded quota: q"), OK]
    actions = (create(manifest(), optional=True), WriteStatus({}))
    assert await apply(cluster, store, FLOW_RUNS, READ, actions) is None
    assert [seen.method for seen in script.seen] == ["POST", "PUT"]


@pytest.mark.parametrize(
    ("answer", "methods"), [(OK, ["GET"]), (status(404, "NotFound"), ["GET", "DELETE"])]
)
async def test_a_run_is_not_deleted_with_its_job(
    cluster: Cluster, store: Store, script: Script, answer: tuple[int, Any], methods: list[str]
) -> None:
    """The Job may be there although nobody here knows of it: it is asked for."""
    script.answers = [answer, OK]
    delete = DeleteRun("old", "u0", unless_job="j")
    assert await apply(cluster, store, FLOW_RUNS, READ, (delete,)) is None
    assert [seen.method for seen in script.seen] == methods


async def test_a_namespace_that_goes_ends_it_quietly(
    cluster: Cluster, store: Store, script: Script
) -> None:
    script.answers = [status(404, "NotFound", kind="namespaces")]
    with pytest.raises(NamespaceGoneError):
        await apply(cluster, store, FLOW_RUNS, READ, (CreateJob(manifest()),))


@pytest.mark.parametrize("answer", [status(409, "Conflict"), status(404, "NotFound")])
async def test_a_status_is_never_written_over_a_change(
    cluster: Cluster, store: Store, script: Script, answer: tuple[int, Any]
) -> None:
    """What was read has changed, or is gone: decide anew."""
    script.answers = [answer]
    with pytest.raises(ConflictError):
        await apply(cluster, store, FLOW_RUNS, READ, (WriteStatus({}), EVENT))
    assert len(script.seen) == 1


ABOUT_ANOTHER = [DeleteRun("old", "u0"), CancelRun("old", "u0", "new"), SuspendJob("old", "u0")]


@pytest.mark.parametrize("action", ABOUT_ANOTHER)
@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([status(404, "NotFound")], id="gone"),
        pytest.param([status(409, "Conflict"), status(404, "NotFound")], id="gone meanwhile"),
        pytest.param([status(409, "Conflict"), (200, answer("old", "u9"))], id="another by now"),
    ],
)
async def test_what_is_gone_need_not_be_stopped(
    cluster: Cluster, store: Store, script: Script, answers: list[Any], action: Action
) -> None:
    script.answers = answers
    assert await apply(cluster, store, FLOW_RUNS, READ, (action,)) is None


@pytest.mark.parametrize("action", ABOUT_ANOTHER)
async def test_a_conflict_over_what_is_there_ends_nothing(
    cluster: Cluster, store: Store, script: Script, action: Action
) -> None:
    """What comes after it would go on record as if it had been carried out."""
    script.answers = [status(409, "Conflict"), (200, answer("old", "u0"))]
    with pytest.raises(ConflictError):
        await apply(cluster, store, FLOW_RUNS, READ, (action, WriteStatus({})))
    assert [seen.method for seen in script.seen][1:] == ["GET"]


@pytest.mark.parametrize("answer", [(403, {}), (500, {}), OK])
async def test_an_event_fails_alone(
    cluster: Cluster,
    store: Store,
    script: Script,
    caplog: pytest.LogCaptureFixture,
    answer: tuple[int, Any],
) -> None:
    """A transition is logged in one line, whether or not its Event is recorded."""
    caplog.set_level(logging.INFO)
    script.answers = [answer, OK]
    assert await apply(cluster, store, FLOW_RUNS, READ, (EVENT, WriteStatus({}))) is None
    assert script.seen[-1].method == "PUT"
    assert [record.getMessage() for record in caplog.records] == [
        "FlowRun data/r: RunCreated: Created FlowRun r"
    ]


async def test_an_event_that_is_there_is_not_logged_again(
    cluster: Cluster, store: Store, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    script.answers = [THERE]
    await apply(cluster, store, FLOW_RUNS, READ, (EVENT,))
    assert not caplog.records


async def test_a_long_message_is_cut_for_the_event(
    cluster: Cluster, store: Store, script: Script
) -> None:
    long = EmitEvent("flow-1", "Warning", "X", "x" * 5000, "Reconcile")
    await apply(cluster, store, FLOW_RUNS, READ, (long,))
    event = script.seen[0].body
    assert len(event["message"]) == 1024
    assert event["involvedObject"]["uid"] == "u1"


async def test_one_that_was_there_and_is_gone_is_tried_again(
    cluster: Cluster, store: Store, script: Script
) -> None:
    script.answers = [THERE, status(404, "NotFound")]
    with pytest.raises(UnavailableError):
        await apply(cluster, store, FLOW_RUNS, READ, (CreateJob(manifest()),))
