"""What is sent to the API server, and what is tried again."""

from __future__ import annotations

import logging

import pytest

from flow_operator.shell.cluster import EVENTS, FLOW_RUNS, JOBS, Cluster
from flow_operator.shell.connection import user_agent
from flow_operator.shell.errors import NotFoundError, UnavailableError
from tests.unit.shell.conftest import Script

JOB = {"metadata": {"namespace": "data", "name": "x"}}
RUN = {
    "metadata": {"namespace": "data", "name": "r", "uid": "u1", "resourceVersion": "7"},
    "spec": {"deploymentRef": {"name": "etl"}},
}
BUSY = (429, {}, {"Retry-After": "0"})


def test_paths() -> None:
    assert JOBS.path("data", "x") == "/apis/batch/v1/namespaces/data/jobs/x"
    assert EVENTS.path("data") == "/api/v1/namespaces/data/events"
    assert FLOW_RUNS.path(None) == "/apis/flow-operator.io/v1alpha1/flowruns"
    assert JOBS.path("data", "../pods") == "/apis/batch/v1/namespaces/data/jobs/..%2Fpods"


async def test_a_request_says_who_asks(cluster: Cluster, script: Script) -> None:
    await cluster.find(JOBS, "data", "x")
    headers = script.seen[0].headers
    assert headers["Authorization"] == "Bearer t0ken"
    assert headers["User-Agent"] == user_agent()
    assert user_agent().startswith("flow-operator/")


async def test_what_is_not_there_is_none(cluster: Cluster, script: Script) -> None:
    script.answers = [(404, {"kind": "Status", "reason": "NotFound"})]
    assert await cluster.find(JOBS, "data", "x") is None


async def test_a_list_is_read_in_chunks(cluster: Cluster, script: Script) -> None:
    script.answers = [
        (200, {"items": [{"n": 1}], "metadata": {"continue": "token"}}),
        (200, {"items": [{"n": 2}], "metadata": {"continue": ""}}),
    ]
    items = await cluster.list(JOBS, "data", labels="a=b", fields="c=d")
    assert items == [{"n": 1}, {"n": 2}]
    assert script.seen[0].query == {"limit": "500", "labelSelector": "a=b", "fieldSelector": "c=d"}
    assert script.seen[1].query["continue"] == "token"


async def test_a_list_of_what_no_longer_exists_is_an_error(
    cluster: Cluster, script: Script
) -> None:
    script.answers = [(404, {})]
    with pytest.raises(NotFoundError):
        await cluster.list(FLOW_RUNS, "data")


@pytest.mark.parametrize("failure", [(500, {}), (503, {}), (0, {}), (429, {})])
async def test_reads_are_tried_again(
    cluster: Cluster, script: Script, failure: tuple[int, dict[str, str]]
) -> None:
    """A server that is restarting does not make every key wait its turn."""
    script.answers = [failure, (200, {"found": True})]
    assert await cluster.find(JOBS, "data", "x") == {"found": True}


async def test_reads_are_given_up_in_the_end(cluster: Cluster, script: Script) -> None:
    script.answers = [(503, {"kind": "Status", "message": "etcd is down"})]
    with pytest.raises(UnavailableError, match="etcd is down"):
        await cluster.find(JOBS, "data", "x")
    assert len(script.seen) == 4


@pytest.mark.parametrize("failure", [(500, {}), (504, {}), (0, {})])
async def test_a_create_that_may_have_happened_is_not_sent_again(
    cluster: Cluster, script: Script, failure: tuple[int, dict[str, str]]
) -> None:
    """Whoever asked looks at what is there, and decides anew."""
    script.answers = [failure, (201, {})]
    with pytest.raises(UnavailableError):
        await cluster.create(JOBS, JOB)
    assert len(script.seen) == 1


async def test_a_write_that_was_turned_away_is_sent_again(cluster: Cluster, script: Script) -> None:
    """429 says that nothing happened, and when to come back."""
    script.answers = [BUSY, BUSY, (201, {})]
    await cluster.create(JOBS, JOB)
    assert [seen.method for seen in script.seen] == ["POST"] * 3


async def test_a_long_wait_is_left_to_the_queue(cluster: Cluster, script: Script) -> None:
    script.answers = [(429, {}, {"Retry-After": "30"})]
    with pytest.raises(UnavailableError) as caught:
        await cluster.create(JOBS, JOB)
    assert caught.value.retry_after == 30
    assert len(script.seen) == 1


async def test_a_create_is_checked_strictly(cluster: Cluster, script: Script) -> None:
    """A field that Kubernetes does not know is an error, and not dropped in silence."""
    await cluster.create(JOBS, JOB)
    assert script.seen[0].query == {"fieldValidation": "Strict"}


async def test_a_status_is_written_to_the_object_that_was_read(
    cluster: Cluster, script: Script
) -> None:
    await cluster.replace_status(FLOW_RUNS, RUN, {"phase": "Pending"})
    (seen,) = script.seen
    assert seen.method == "PUT"
    assert seen.path.endswith("/namespaces/data/flowruns/r/status")
    assert seen.body["metadata"] == RUN["metadata"]
    assert seen.body["status"] == {"phase": "Pending"}


async def test_patch_and_delete_name_the_uid(cluster: Cluster, script: Script) -> None:
    """An object of the same name that came later is left alone."""
    await cluster.patch(JOBS, "data", "x", "u1", {"spec": {"suspend": True}})
    await cluster.delete(FLOW_RUNS, "data", "r", "u2")
    patch, delete = script.seen
    assert patch.body == {"spec": {"suspend": True}, "metadata": {"uid": "u1"}}
    assert patch.headers["Content-Type"] == "application/merge-patch+json"
    assert delete.body["preconditions"] == {"uid": "u2"}
    assert delete.body["propagationPolicy"] == "Background"


async def test_neither_token_nor_body_is_logged_or_said(
    cluster: Cluster, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    script.answers = [(500, "a body with s3cret")]
    with pytest.raises(UnavailableError) as caught:
        await cluster.create(JOBS, {**JOB, "secret": "s3cret"})
    said = str(caught.value) + caplog.text
    assert "s3cret" not in said
    assert "t0ken" not in said
