"""Carries out what was decided, one write at a time and in order."""

import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from flow_operator.api.v1alpha1 import Reason
from flow_operator.core import names
from flow_operator.core.decision import (
    Action,
    CancelRun,
    CreateJob,
    CreateRun,
    DeleteRun,
    EmitEvent,
    Refusal,
    SuspendJob,
    WriteStatus,
)
from flow_operator.shell.cluster import EVENTS, FLOW_RUNS, JOBS, Cluster, Resource
from flow_operator.shell.errors import (
    AdmissionDeniedError,
    AlreadyExistsError,
    ClusterError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from flow_operator.shell.records import controller_uid
from flow_operator.shell.store import Store

logger = logging.getLogger(__name__)

COMPONENT = "flow-operator"
_MAX_NOTE = 1024


async def apply(
    cluster: Cluster,
    store: Store,
    resource: Resource,
    read: dict[str, Any],
    actions: tuple[Action, ...],
) -> Refusal | None:
    """Carry out the actions about an object that was read, up to the first create that is refused.

    The store takes note of what the API server answers. Every action may have happened already,
    by this process before it was killed or by another one: then it counts as done.

    Returns:
        Why the create was refused; None when all is done.

    Raises:
        ConflictError: The object that was decided on has changed, or is gone. Retriable: decide
            anew on what is there.
        NamespaceGoneError: Not retriable, and nothing to be sorry about.
        UnavailableError: Retriable.
    """
    for action in actions:
        match action:
            case CreateRun(manifest, optional):
                refusal = await _create(cluster, store, FLOW_RUNS, manifest)
            case CreateJob(manifest, optional):
                refusal = await _create(cluster, store, JOBS, manifest)
            case _:
                refusal, optional = None, False
                await _write(cluster, store, resource, read, action)
        if refusal and not optional:
            return refusal
    return None


async def _create(
    cluster: Cluster, store: Store, resource: Resource, manifest: dict[str, Any]
) -> Refusal | None:
    """Create an object. One of that name that has the same controller counts as created."""
    name, namespace = manifest["metadata"]["name"], manifest["metadata"]["namespace"]
    try:
        await store.write(resource, cluster.create(resource, manifest))
    except AlreadyExistsError:
        there = await cluster.find(resource, namespace, name)
        if there is None:
            raise UnavailableError(f"{resource.kind} {name} was there and is gone") from None
        if controller_uid(there) == controller_uid(manifest):
            store.saw(resource, there)
            return None
        owner = _owner_of(there)
        message = f"{resource.kind} {name} exists already and belongs to {owner}; remove it"
        return Refusal(Reason.NAME_CONFLICT, message, final=False)
    except InvalidError as error:
        return Refusal(Reason.INVALID_SPEC, f"{resource.kind} {name}: {error}", final=True)
    except AdmissionDeniedError as error:
        return Refusal(Reason.ADMISSION_DENIED, str(error), final=False)
    except ForbiddenError as error:
        logger.error("RBAC rules are missing: %s", error)
        return Refusal(Reason.ADMISSION_DENIED, f"The operator may not: {error}", final=False)
    if resource is JOBS:
        _log(resource, manifest["metadata"], f"Created for {_owner_of(manifest)}")
    return None


async def _write(
    cluster: Cluster, store: Store, resource: Resource, read: dict[str, Any], action: Action
) -> None:
    namespace = read["metadata"]["namespace"]
    match action:
        case WriteStatus(status):
            try:
                await store.write(resource, cluster.replace_status(resource, read, status))
            except NotFoundError as error:
                raise ConflictError(str(error)) from error
        case SuspendJob(name, uid):
            stop = {"spec": {"suspend": True}}
            async with _unless_gone(cluster, JOBS, namespace, name, uid):
                await store.write(JOBS, cluster.patch(JOBS, namespace, name, uid, stop))
        case CancelRun(name, uid, newer):
            change = {
                "metadata": {"annotations": {names.ANNOTATION_REPLACED_BY: newer}},
                "spec": {"cancel": True},
            }
            async with _unless_gone(cluster, FLOW_RUNS, namespace, name, uid):
                await store.write(FLOW_RUNS, cluster.patch(FLOW_RUNS, namespace, name, uid, change))
        case DeleteRun(name, uid, job):
            if job and await cluster.find(JOBS, namespace, job):
                return
            async with _unless_gone(cluster, FLOW_RUNS, namespace, name, uid):
                await cluster.delete(FLOW_RUNS, namespace, name, uid)
        case EmitEvent():
            await _emit(cluster, resource, read, action)


@contextlib.asynccontextmanager
async def _unless_gone(
    cluster: Cluster, resource: Resource, namespace: str, name: str, uid: str
) -> AsyncIterator[None]:
    """Count a write as done when there is no object of that UID any more.

    A conflict need not mean that: only one that does stops nothing.
    """
    try:
        yield
    except NotFoundError:
        logger.debug("%s %s/%s is gone already", resource.kind, namespace, name)
    except ConflictError:
        there = await cluster.find(resource, namespace, name)
        if there and there["metadata"]["uid"] == uid:
            raise
        logger.debug("%s %s/%s is gone already", resource.kind, namespace, name)


async def _emit(
    cluster: Cluster, resource: Resource, read: dict[str, Any], event: EmitEvent
) -> None:
    """Record an Event and log it. That it fails stops nothing: Events are a courtesy."""
    meta = read["metadata"]
    try:
        await cluster.create(EVENTS, event_manifest(resource, meta, event, datetime.now(UTC)))
    except AlreadyExistsError:
        return
    except ClusterError as error:
        logger.debug("Event %s was not recorded: %s", event.reason, error)
    words = f"{event.reason}: {event.message}"
    _log(resource, meta, words, reason=str(event.reason))


def _log(resource: Resource, meta: dict[str, Any], words: str, **fields: str) -> None:
    """Log what became of an object, with fields for those who read the log as JSON."""
    where = {"kind": resource.kind, "namespace": meta["namespace"], "name": meta["name"]}
    logger.info("%s %s/%s: %s", *where.values(), words, extra={"fields": where | fields})


def event_manifest(
    resource: Resource, meta: dict[str, Any], event: EmitEvent, now: datetime
) -> dict[str, Any]:
    """Return the Event as `kubectl describe` and `kubectl get events` show it."""
    time = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    message = event.message
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": event.name, "namespace": meta["namespace"]},
        "involvedObject": {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "namespace": meta["namespace"],
            "name": meta["name"],
            "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"],
        },
        "type": event.type,
        "reason": str(event.reason),
        "message": message if len(message) <= _MAX_NOTE else message[: _MAX_NOTE - 1] + "…",
        "action": event.action,
        "count": 1,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": os.environ.get("HOSTNAME") or socket.gethostname(),
    }


def _owner_of(manifest: dict[str, Any]) -> str:
    for owner in manifest["metadata"].get("ownerReferences") or []:
        if owner.get("controller"):
            return f"{owner.get('kind')} {owner.get('name')}"
    return "nobody that this operator knows"
