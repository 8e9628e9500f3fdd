"""FlowDeployment: where code is, which function of it to call, and when."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from flow_operator.api.rules import Rule, exactly_one, matching, rules, without
from flow_operator.api.v1alpha1.conditions import Condition
from flow_operator.api.v1alpha1.lifecycle import Retries
from flow_operator.api.v1alpha1.meta import DNS_SUBDOMAIN, LocalObjectReference, Model, ObjectMeta
from flow_operator.api.v1alpha1.pod import (
    EnvFromSource,
    EnvVar,
    Parameters,
    ResourceRequirements,
)
from flow_operator.api.v1alpha1.schedule import MAX_SCHEDULES, Schedule
from flow_operator.api.v1alpha1.source import Source

MAX_PARAMETERS_BYTES = 64 * 1024
"""The most that `parameters` may take, as compact JSON in UTF-8."""

_NAME = r"[^\x00-@\[-\^\x60\x7b-\x7f][^\x00-/:-@\[-\^\x60\x7b-\x7f]*"
_DOTTED = rf"{_NAME}([.]{_NAME})*"
"""A Python name, or several joined by dots; letters beyond ASCII are not told from signs."""

DEFAULT_PENDING_DEADLINE_SECONDS = 300
DEFAULT_HISTORY_LIMIT = 3
MAX_ACTIVE = 256
"""How many active runs a status lists."""

LIST_MAP_BY_NAME: dict[str, Any] = {
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
}


ConcurrencyPolicy = Literal["Allow", "Forbid", "Replace", "Enqueue"]


class FetchSettings(Model):
    """How the code is fetched."""

    resources: ResourceRequirements | None = Field(
        default=None,
        description=(
            "Compute resources of the init container that fetches the code, in place of the "
            "operator's default."
        ),
    )


class FlowDeploymentSpec(Model):
    """What to run, where it comes from, and when."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            exactly_one("spec", "entrypoint", "command"),
            Rule(
                cel=(
                    "!has(self.concurrencyLimit) || "
                    "(has(self.concurrencyPolicy) && self.concurrencyPolicy != 'Allow')"
                ),
                message="concurrencyLimit needs a concurrencyPolicy other than Allow",
                check=lambda spec: (
                    "concurrencyLimit" not in spec
                    or spec.get("concurrencyPolicy", "Allow") != "Allow"
                ),
                field="concurrencyLimit",
                forbidden=True,
            ),
        )
    )

    source: Source = Field(description="Where the code is: exactly one kind of source.")
    working_directory: str | None = Field(
        default=None,
        description=(
            "Folder of the fetched tree that the code runs in; the entrypoint is relative to it, "
            "and it is the first place that imports are looked up in. Unset: the tree's root."
        ),
        min_length=1,
        max_length=1024,
        json_schema_extra=rules(
            without(
                r"^/|(^|/)[.][.](/|$)|[\x00-\x1f\x7f]",
                "workingDirectory must be a folder of the fetched tree: a relative path without "
                "'..' and control characters",
            )
        ),
    )
    entrypoint: str | None = Field(
        default=None,
        description=(
            "Function to call: path/to/file.py:function or package.module:function, sync or async."
        ),
        min_length=3,
        max_length=1024,
        json_schema_extra=rules(
            matching(
                rf"^([^:\x00-\x1f\x7f]*[^:/\x00-\x1f\x7f][.]py|{_DOTTED}):{_DOTTED}$",
                "entrypoint must be path/to/file.py:function or package.module:function",
            ),
            without(
                r"^/|(^|/)[.][.]/",
                "entrypoint must name a file below the working directory: a relative path "
                "without '..'",
            ),
        ),
    )
    command: list[Annotated[str, Field(max_length=32768)]] | None = Field(
        default=None,
        description=(
            "Command to run in place of a Python function, as the container's command; its "
            "working directory is workingDirectory, and the file $(FLOW_CONTEXT) holds the "
            "parameters and the revision as JSON."
        ),
        min_length=1,
        max_length=256,
    )
    parameters: Parameters | None = Field(
        default=None,
        description="Arguments of the function by name; at most 64 KiB of JSON.",
    )
    image: str | None = Field(
        default=None,
        description=(
            "Image that the code runs in, with Python 3.9 or newer. Unset: the operator's default."
        ),
        min_length=1,
        max_length=1024,
        pattern=r"^[!-~]+$",
    )
    env: list[EnvVar] | None = Field(
        default=None,
        description="Environment variables of the main container.",
        max_length=256,
        json_schema_extra=LIST_MAP_BY_NAME,
    )
    env_from: list[EnvFromSource] | None = Field(
        default=None,
        description="ConfigMaps and Secrets whose keys become environment variables.",
        max_length=64,
    )
    resources: ResourceRequirements | None = Field(
        default=None, description="Compute resources of the main container."
    )
    fetch: FetchSettings | None = Field(default=None, description="How the code is fetched.")
    service_account_name: str | None = Field(
        default=None,
        description=(
            "ServiceAccount of the Pods. When it is set its token is mounted; unset: the "
            "namespace's default, without a token."
        ),
        min_length=1,
        max_length=253,
        pattern=DNS_SUBDOMAIN,
    )
    image_pull_secrets: list[LocalObjectReference] | None = Field(
        default=None,
        description="Secrets for pulling the image.",
        max_length=16,
        json_schema_extra=LIST_MAP_BY_NAME,
    )
    run_on: list[Literal["SpecChange"]] | None = Field(
        default=None,
        description=(
            "What starts a run by itself. SpecChange: the deployment is created, or a field that "
            "changes its Pods is edited. Unset: [SpecChange] without schedules, nothing with "
            "schedules. Empty: only schedules, and FlowRuns that somebody creates."
        ),
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    schedules: list[Schedule] | None = Field(
        default=None,
        description="When runs start by themselves. A run is made for each tick, exactly once.",
        max_length=MAX_SCHEDULES,
        json_schema_extra=LIST_MAP_BY_NAME,
    )
    starting_deadline_seconds: int | None = Field(
        default=None,
        description=(
            "How late, in seconds, a run may start after its tick and jitter; later the tick is "
            "missed for good. Unset: however late."
        ),
        ge=1,
        le=31_536_000,
        json_schema_extra={"format": "int32"},
    )
    catch_up: Literal["none", "latest", "all"] = Field(
        default="latest",
        description=(
            "What becomes of ticks that passed while the operator was down or the schedule "
            "suspended. latest: the last of them is run. all: every one, oldest first. none: "
            "none; a tick counts as passed when it is a minute late."
        ),
    )
    concurrency_policy: ConcurrencyPolicy = Field(
        default="Allow",
        description=(
            "What happens to a tick while concurrencyLimit runs are unfinished. Allow: it runs "
            "beside them. Forbid: it is skipped. Enqueue: its run waits, phase Queued. Replace: "
            "the oldest run that the operator started is cancelled. But with Allow, a spec change "
            "and FlowRuns that somebody creates wait for room."
        ),
    )
    concurrency_limit: int | None = Field(
        default=None,
        description="How many runs may be unfinished at the same time; with Allow there is no "
        "limit. Unset: 1.",
        ge=1,
        le=100,
        json_schema_extra={"format": "int32"},
    )
    suspend: bool = Field(
        default=False,
        description=(
            "Holds back the runs that the operator would start; running ones go on, and a FlowRun "
            "that somebody creates still runs."
        ),
    )
    pending_deadline_seconds: int = Field(
        default=DEFAULT_PENDING_DEADLINE_SECONDS,
        description=(
            "How long, in seconds, a run waits for what is not there yet: a Secret, an image, a "
            "node, room in a quota. Counts anew once the code is fetched."
        ),
        ge=1,
        le=31_536_000,
        json_schema_extra={"format": "int32"},
    )
    retries: Retries | None = Field(
        default=None,
        description=(
            "Whether failed attempts are followed by others. Unset: no. That the cluster took the "
            "Pod away (a drain, a preemption) is followed by another attempt in any case, up to "
            "ten times, and does not count."
        ),
    )
    active_deadline_seconds: int | None = Field(
        default=None,
        description=(
            "How long, in seconds, a run may take, all its attempts and the waits between them "
            "together; time in the queue does not count. Then it is stopped and fails."
        ),
        ge=1,
        le=31_536_000,
        json_schema_extra={"format": "int32"},
    )
    attempt_deadline_seconds: int | None = Field(
        default=None,
        description=(
            "How long, in seconds, one attempt may take from when its Pod is on a node. Then it "
            "is stopped, and tried again if retries say so."
        ),
        ge=1,
        le=31_536_000,
        json_schema_extra={"format": "int32"},
    )
    termination_grace_period_seconds: int | None = Field(
        default=None,
        description=(
            "How long, in seconds, the code has to end after SIGTERM when its run is cancelled, "
            "replaced or out of time. Unset: 30."
        ),
        ge=1,
        le=86_400,
        json_schema_extra={"format": "int32"},
    )
    ttl_seconds_after_finished: int | None = Field(
        default=None,
        description=(
            "After how many seconds a finished run that the operator started is deleted, with its "
            "Jobs, Pods and logs. Unset: when the history limits say so."
        ),
        ge=0,
        le=31_536_000,
        json_schema_extra={"format": "int32"},
    )
    successful_runs_history_limit: int = Field(
        default=DEFAULT_HISTORY_LIMIT,
        description="How many succeeded runs that the operator started are kept.",
        ge=0,
        le=1000,
        json_schema_extra={"format": "int32"},
    )
    failed_runs_history_limit: int = Field(
        default=DEFAULT_HISTORY_LIMIT,
        description="How many failed or cancelled runs that the operator started are kept.",
        ge=0,
        le=1000,
        json_schema_extra={"format": "int32"},
    )


class LastTrigger(Model):
    """The spec change that was last turned into a run."""

    spec_hash: str = Field(description="Hash of the fields that change the Pods.", max_length=128)
    sequence: int = Field(
        description="How many spec changes have been turned into runs.",
        ge=0,
        json_schema_extra={"format": "int64"},
    )


class LastRun(Model):
    """The newest run of the deployment."""

    name: str = Field(description="Name of the FlowRun.")
    phase: str = Field(default="", description="Its phase.")
    revision: str | None = Field(default=None, description="The revision that it runs.")
    start_time: datetime | None = Field(default=None, description="When it started.")
    completion_time: datetime | None = Field(default=None, description="When it ended.")


class ActiveRun(Model):
    """A run that may have Pods."""

    name: str = Field(description="Name of the FlowRun.")


class ScheduleStatus(Model):
    """What is known of one schedule."""

    name: str = Field(description="Name of the schedule.")
    definition: str = Field(description="Hash of what decides its ticks.", max_length=64)
    handled_until: datetime = Field(
        description="Ticks up to this moment are dealt with: run, skipped or missed for good."
    )
    last_schedule_time: datetime | None = Field(
        default=None, description="The last tick that a run was made for."
    )
    next_schedule_time: datetime | None = Field(
        default=None, description="The next tick; none while it is suspended or has ended."
    )
    suspended: bool | None = Field(default=None, description="Whether it is suspended.")


class FlowDeploymentStatus(Model):
    """What the operator knows about the deployment."""

    observed_generation: int = Field(
        default=0,
        description="The metadata.generation that this status is about.",
        ge=0,
        json_schema_extra={"format": "int64"},
    )
    conditions: list[Condition] = Field(
        default_factory=list,
        description="Ready, LastRunSucceeded, and Stalled while nothing can go on.",
        max_length=16,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    )
    source: str | None = Field(default=None, description="The source in one line, for people.")
    last_trigger: LastTrigger | None = Field(
        default=None, description="The spec change that was last turned into a run."
    )
    last_run: LastRun | None = Field(default=None, description="The newest run.")
    schedule: str | None = Field(default=None, description="The schedules in one line, for people.")
    last_schedule_time: datetime | None = Field(
        default=None, description="The last tick of any schedule that a run was made for."
    )
    next_schedule_time: datetime | None = Field(
        default=None, description="The next tick of any schedule."
    )
    schedules: list[ScheduleStatus] | None = Field(
        default=None,
        description="What is known of each schedule.",
        max_length=MAX_SCHEDULES,
        json_schema_extra=LIST_MAP_BY_NAME,
    )
    active: list[ActiveRun] | None = Field(
        default=None,
        description=(
            "The unfinished runs that may have Pods; with a concurrencyPolicy other than Allow no "
            "run starts before it is here."
        ),
        max_length=MAX_ACTIVE,
        json_schema_extra=LIST_MAP_BY_NAME,
    )


class FlowDeployment(Model):
    """A function of a source tree that runs on Kubernetes: what, from where, and when."""

    api_version: Literal["flow-operator.io/v1alpha1"] = "flow-operator.io/v1alpha1"
    kind: Literal["FlowDeployment"] = "FlowDeployment"
    metadata: ObjectMeta
    spec: FlowDeploymentSpec = Field(description="What to run, from where, and when.")
    status: FlowDeploymentStatus = Field(
        default_factory=FlowDeploymentStatus,
        description="What the operator knows about the deployment.",
    )
