"""FlowRun: one run of a FlowDeployment, and all that is known about it."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import ConfigDict, Field

from flow_operator.api.rules import Rule, immutable, matching, rules
from flow_operator.api.v1alpha1.conditions import Condition
from flow_operator.api.v1alpha1.flowdeployment import LIST_MAP_BY_NAME
from flow_operator.api.v1alpha1.meta import (
    DNS_LABEL,
    PRESERVE,
    TIMESTAMP,
    LocalObjectReference,
    Model,
    ObjectMeta,
)
from flow_operator.api.v1alpha1.pod import EnvVar, Parameters


class Phase(StrEnum):
    """Where a run is. Open: later releases may add phases."""

    SCHEDULED = "Scheduled"
    QUEUED = "Queued"
    PENDING = "Pending"
    FETCHING = "Fetching"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def finished(self) -> bool:
        """Whether a run in this phase has ended for good."""
        return self in (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED)


class Trigger(Model):
    """Why a run exists."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                cel="has(self.scheduledTime) == (self.type in ['Schedule', 'Backfill'])",
                message="scheduledTime goes with type Schedule and Backfill, and they need it",
                check=lambda trigger: (
                    ("scheduledTime" in trigger) == (trigger["type"] in ("Schedule", "Backfill"))
                ),
                field="scheduledTime",
            ),
            Rule(
                cel="!has(self.schedule) || self.type in ['Schedule', 'Backfill']",
                message="schedule goes with type Schedule and Backfill",
                check=lambda trigger: (
                    "schedule" not in trigger or trigger["type"] in ("Schedule", "Backfill")
                ),
                field="schedule",
                forbidden=True,
            ),
        )
    )

    type: Literal["SpecChange", "Manual", "Schedule", "Backfill"] = Field(
        description=(
            "SpecChange and Schedule: the operator started it. Manual: somebody created it. "
            "Backfill: somebody created it for a tick of the past."
        )
    )
    schedule: str | None = Field(
        default=None,
        description=(
            "Name of the schedule. A backfill takes that schedule's parameters below its own."
        ),
        min_length=1,
        max_length=63,
        pattern=DNS_LABEL,
    )
    scheduled_time: str | None = Field(
        default=None,
        description="The tick that the run is for; the code finds it in FLOW_SCHEDULED_TIME.",
        pattern=TIMESTAMP,
    )


_ANOTHER = "create another FlowRun"


class FlowRunSpec(Model):
    """Which deployment to run, and what is different this time."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            immutable("deploymentRef", _ANOTHER),
            immutable("parameters", _ANOTHER),
            immutable("env", _ANOTHER),
            immutable("revision", _ANOTHER),
            immutable("trigger", _ANOTHER),
            immutable("ttlSecondsAfterFinished", _ANOTHER),
            Rule(
                cel=(
                    "!(has(oldSelf.cancel) && oldSelf.cancel) || (has(self.cancel) && self.cancel)"
                ),
                message=f"cancel cannot be undone: {_ANOTHER}",
                check=lambda value, before: (
                    not before.get("cancel", False) or value.get("cancel", False)
                ),
                field="cancel",
                forbidden=True,
            ),
        )
    )

    deployment_ref: LocalObjectReference = Field(
        description="The FlowDeployment of this namespace to run."
    )
    parameters: Parameters | None = Field(
        default=None,
        description="Arguments by name, over those of the deployment; at most 64 KiB of JSON.",
    )
    env: list[EnvVar] | None = Field(
        default=None,
        description="Environment variables, over those of the deployment.",
        max_length=256,
        json_schema_extra=LIST_MAP_BY_NAME,
    )
    revision: str | None = Field(
        default=None,
        description=(
            "Revision to run in place of what the deployment's source points to: a full commit "
            "SHA for git; sha256:<digest> for s3, which the objects must still have."
        ),
        max_length=71,
        json_schema_extra=rules(
            matching(
                r"^([0-9a-f]{40}|[0-9a-f]{64}|sha256:[0-9a-f]{64})$",
                "revision must be a full commit SHA of 40 or 64 lower-case hex digits, or "
                "sha256:<64 hex digits>",
            )
        ),
    )
    trigger: Trigger | None = Field(
        default=None, description="Why the run exists; unset means that somebody created it."
    )
    ttl_seconds_after_finished: int | None = Field(
        default=None,
        description=(
            "After how many seconds the finished run deletes itself, with its Jobs, Pods and "
            "logs. Unset: never; that of the deployment is for the runs that the operator starts."
        ),
        ge=0,
        le=31_536_000,
        json_schema_extra={"format": "int32"},
    )
    cancel: bool = Field(
        default=False, description="Stops the run. The only field that can be edited, once."
    )


class StageSeconds(Model):
    """How long the stages of an attempt took, in seconds."""

    pending: float | None = Field(
        default=None, description="From the Job's creation to the start of the fetch."
    )
    fetch: float | None = Field(default=None, description="Fetching the code.")
    run: float | None = Field(default=None, description="Running the user's code.")


class Attempt(Model):
    """One Job of a run."""

    number: int = Field(description="1 for the first.", ge=1, json_schema_extra={"format": "int32"})
    job_name: str = Field(description="Name of the Job.")
    job_uid: str | None = Field(default=None, alias="jobUID", description="UID of the Job.")
    pod_name: str | None = Field(
        default=None, description="Name of its Pod, told once that fetches or does not get on."
    )
    pod_uid: str | None = Field(default=None, alias="podUID", description="UID of its Pod.")
    start_time: datetime | None = Field(default=None, description="When the Job was created.")
    completion_time: datetime | None = Field(default=None, description="When the attempt ended.")
    revision: str | None = Field(default=None, description="The revision that was fetched.")
    pinned: bool | None = Field(
        default=None,
        description="Whether the attempt was told which revision to fetch.",
    )
    reason: str | None = Field(default=None, description="How the attempt ended.")
    message: str | None = Field(default=None, description="The same in words.", max_length=4096)
    seconds: StageSeconds | None = Field(
        default=None, description="How long its stages took, in seconds."
    )


class FlowRunStatus(Model):
    """What the operator knows about the run."""

    observed_generation: int = Field(
        default=0,
        description="The metadata.generation that this status is about.",
        ge=0,
        json_schema_extra={"format": "int64"},
    )
    phase: str | None = Field(
        default=None,
        description=(
            "Where the run is: Scheduled, Queued, Pending, Fetching, Running, Succeeded, Failed, "
            "Cancelled. Later releases may add phases."
        ),
    )
    conditions: list[Condition] = Field(
        default_factory=list,
        description="Succeeded and, while the run has not ended, Reconciling or Stalled.",
        max_length=16,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    )
    revision: str | None = Field(
        default=None,
        description="What was fetched: a commit SHA, or sha256:<digest> over keys and ETags.",
    )
    start_time: datetime | None = Field(default=None, description="When the run was taken up.")
    completion_time: datetime | None = Field(default=None, description="When the run ended.")
    duration: str | None = Field(default=None, description="How long the run took, such as 1m12s.")
    result: Any = Field(
        default=None,
        description="What the function returned, if it is at most 1 KiB of JSON.",
        json_schema_extra=PRESERVE,
    )
    attempts: list[Attempt] | None = Field(
        default=None, description="The Jobs of the run, oldest first.", max_length=64
    )
    retries: int | None = Field(
        default=None,
        description="How many attempts followed a failed one, of those that spec.retries allows.",
        ge=0,
        json_schema_extra={"format": "int32"},
    )
    disruptions: int | None = Field(
        default=None,
        description="How many attempts followed one that the cluster took away.",
        ge=0,
        json_schema_extra={"format": "int32"},
    )
    resolved_spec: dict[str, Any] | None = Field(
        default=None,
        description=(
            "The deployment's spec, merged with that of the run, as it was when the run was taken "
            "up. Every Job of the run is built from it alone."
        ),
        json_schema_extra=PRESERVE | {"x-kubernetes-map-type": "atomic"},
    )


class FlowRun(Model):
    """One run of a FlowDeployment."""

    api_version: Literal["flow-operator.io/v1alpha1"] = "flow-operator.io/v1alpha1"
    kind: Literal["FlowRun"] = "FlowRun"
    metadata: ObjectMeta
    spec: FlowRunSpec = Field(description="Which deployment to run, and what differs this time.")
    status: FlowRunStatus = Field(
        default_factory=FlowRunStatus,
        description="What the operator knows about the run.",
        json_schema_extra={"default": {"phase": Phase.SCHEDULED.value}},
    )
