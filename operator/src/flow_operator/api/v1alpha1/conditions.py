"""Condition types and reasons: constants of the API, each with what it means."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from flow_operator.api.v1alpha1.meta import Model


class ConditionType(StrEnum):
    """The types of conditions, after kstatus."""

    READY = "Ready"
    """FlowDeployment: the definition is valid and accepted. Says nothing about any run."""
    RECONCILING = "Reconciling"
    """Present and True only while the controller is still working towards the spec."""
    STALLED = "Stalled"
    """Present and True only while the controller cannot go on without somebody's help: the spec is
    invalid, or the FlowDeployment of a queued FlowRun is gone."""
    LAST_RUN_SUCCEEDED = "LastRunSucceeded"
    """FlowDeployment: how the newest finished run ended."""
    SUCCEEDED = "Succeeded"
    """FlowRun: Unknown until the run has ended, then True or False."""


class Reason(StrEnum):
    """Why a condition has its status. Programs may rely on these names."""

    SUCCEEDED = "Succeeded"
    """The run ended well, or the definition was accepted."""
    ACCEPTED = "Accepted"
    """The definition is valid; its runs can start."""
    SUSPENDED = "Suspended"
    """`spec.suspend`, or that of a schedule, is true: nothing new is started."""
    QUEUED = "Queued"
    """The run waits for others to end: a limit on how many may run at the same time is reached."""
    PENDING = "Pending"
    """The run waits: for its Pod, or for its next attempt."""
    FETCHING = "Fetching"
    """The init container is fetching the code."""
    RUNNING = "Running"
    """The user's code is running."""
    CANCELLED = "Cancelled"
    """Somebody set `spec.cancel`."""
    REPLACED = "Replaced"
    """The operator cancelled the run for a newer one: `concurrencyPolicy: Replace`."""
    STARTING_DEADLINE_EXCEEDED = "StartingDeadlineExceeded"
    """The run waited in the queue until `startingDeadlineSeconds` after it was to be made."""

    INVALID_SPEC = "InvalidSpec"
    """The spec, or the Job that follows from it, was refused."""
    DEPLOYMENT_NOT_FOUND = "DeploymentNotFound"
    """`spec.deploymentRef` names no FlowDeployment of the namespace."""
    NAME_CONFLICT = "NameConflict"
    """An object of the needed name belongs to somebody else."""
    JOB_DELETED = "JobDeleted"
    """Somebody deleted the Job of a run that had not ended."""
    ADMISSION_DENIED = "AdmissionDenied"
    """The API server refuses the Job or its Pod for now: a quota, a policy, a webhook."""
    UNSCHEDULABLE = "Unschedulable"
    """No node takes the Pod."""
    IMAGE_PULL_FAILED = "ImagePullFailed"
    """An image of the Pod cannot be pulled."""
    CONTAINER_START_FAILED = "ContainerStartFailed"
    """A container of the Pod cannot be started: its command or its configuration is wrong."""
    PENDING_DEADLINE_EXCEEDED = "PendingDeadlineExceeded"
    """The Pod did not get to fetching within `pendingDeadlineSeconds`."""
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    """The run took longer than `activeDeadlineSeconds`, all its attempts together."""
    ATTEMPT_DEADLINE_EXCEEDED = "AttemptDeadlineExceeded"
    """The attempt took longer than `attemptDeadlineSeconds`."""
    DISRUPTED = "Disrupted"
    """The cluster took the Pod away: a drain, a preemption, an eviction."""
    POD_LOST = "PodLost"
    """The Pod is gone without having said how it ended."""

    SECRET_NOT_FOUND = "SecretNotFound"
    """The Secret of the source is missing, or has none of the keys that are needed."""
    AUTHENTICATION_FAILED = "AuthenticationFailed"
    """The server of the source refused the credentials, or wants some."""
    REVISION_NOT_FOUND = "RevisionNotFound"
    """The server of the source has no such branch, tag, reference or commit."""
    REVISION_CHANGED = "RevisionChanged"
    """The source no longer has the revision that the run is pinned to."""
    PATH_NOT_FOUND = "PathNotFound"
    """The bucket, prefix or working directory does not exist."""
    SOURCE_UNREACHABLE = "SourceUnreachable"
    """The server of the source cannot be reached, or does not answer as one."""
    SOURCE_REJECTED = "SourceRejected"
    """The source holds something that is unsafe, broken or too large."""
    INVALID_PLAN = "InvalidPlan"
    """The fetcher does not understand its plan: operator and fetcher do not fit together."""
    FETCH_OUT_OF_MEMORY = "FetchOutOfMemory"
    """The fetch container was killed for using too much memory."""
    FETCH_FAILED = "FetchFailed"
    """The fetch failed in a way that has no reason of its own."""

    ENTRYPOINT_NOT_FOUND = "EntrypointNotFound"
    """The code has no such file, module or function."""
    INVALID_PARAMETERS = "InvalidParameters"
    """The parameters do not fit the function."""
    FLOW_FAILED = "FlowFailed"
    """The user's code ended with an error."""
    FLOW_OUT_OF_MEMORY = "FlowOutOfMemory"
    """The main container was killed for using too much memory."""


FETCHER_REASONS = frozenset(
    {
        Reason.SECRET_NOT_FOUND,
        Reason.AUTHENTICATION_FAILED,
        Reason.REVISION_NOT_FOUND,
        Reason.REVISION_CHANGED,
        Reason.PATH_NOT_FOUND,
        Reason.ENTRYPOINT_NOT_FOUND,
        Reason.SOURCE_UNREACHABLE,
        Reason.SOURCE_REJECTED,
        Reason.INVALID_PLAN,
        Reason.FETCH_FAILED,
    }
)
"""The reasons that a fetcher's termination message may give; any other becomes FetchFailed."""


class Condition(Model):
    """One aspect of the state of an object, as in `metav1.Condition`."""

    type: str = Field(description="Type of the condition.", max_length=316)
    status: Literal["True", "False", "Unknown"] = Field(
        description="Status of the condition: True, False or Unknown."
    )
    reason: str = Field(
        description="Programmatic reason for the last transition, in CamelCase.", max_length=1024
    )
    message: str = Field(
        description="What happened, and what can be done about it.", max_length=32768
    )
    last_transition_time: datetime = Field(description="When the status last changed.")
    observed_generation: int = Field(
        default=0,
        description="The metadata.generation that the condition was set for.",
        ge=0,
        json_schema_extra={"format": "int64"},
    )


def find_condition(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """Return the condition of that type, if there is one."""
    return next((condition for condition in conditions if condition.type == kind), None)
