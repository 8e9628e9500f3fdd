"""What to do about one FlowDeployment."""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import ValidationError

from flow_operator.api.v1alpha1 import (
    API_VERSION,
    Condition,
    FlowDeployment,
    FlowDeploymentStatus,
    FlowRun,
    Phase,
    Reason,
    find_condition,
)
from flow_operator.api.v1alpha1.conditions import ConditionType
from flow_operator.api.v1alpha1.flowdeployment import LastRun, LastTrigger
from flow_operator.core import names
from flow_operator.core.conditions import make_condition
from flow_operator.core.decision import (
    Action,
    CreateRun,
    Decision,
    DeleteRun,
    EmitEvent,
    Refusal,
    WriteStatus,
)
from flow_operator.core.invalid import problems_of
from flow_operator.core.runstate import is_finished
from flow_operator.core.spechash import spec_hash

_RETRY_CONFLICT = 30.0


def decide_deployment(
    raw: dict[str, Any],
    runs: list[FlowRun],
    now: datetime,
    refusal: Refusal | None = None,
) -> Decision:
    """Return what to do about a FlowDeployment.

    Args:
        raw: The object as the API server has it.
        runs: The FlowRuns of its namespace that refer to it, in any order.
        now: The time, in UTC.
        refusal: Why the run that was just to be created was refused, if it was.
    """
    try:
        deployment = FlowDeployment.model_validate(raw)
    except ValidationError as error:
        return _invalid(raw, problems_of(error), now)
    if problems := problems_of(deployment):
        return _invalid(raw, problems, now)
    if deployment.metadata.deletion_timestamp:
        return Decision()

    trigger = _trigger(deployment)
    actions: list[Action] = []
    last_trigger = deployment.status.last_trigger
    if trigger and refusal is None:
        manifest = _run_manifest(deployment, trigger)
        actions.append(CreateRun(manifest))
        actions.append(
            EmitEvent(
                names.event_name(deployment.metadata.uid, "RunCreated", trigger.sequence),
                "Normal",
                "RunCreated",
                f"Created FlowRun {manifest['metadata']['name']}",
                "CreateRun",
            )
        )
        last_trigger = trigger

    status = _status(deployment, runs, last_trigger, refusal, now).to_manifest()
    if status != raw.get("status"):
        actions.append(WriteStatus(status))
    if not trigger:  # only once the trigger is on record may a name be freed
        actions += _beyond_history(deployment, runs)
    return Decision(tuple(actions), _RETRY_CONFLICT if refusal else None)


def _trigger(deployment: FlowDeployment) -> LastTrigger | None:
    """Return the trigger that is due: the spec differs from the one that was run last."""
    spec = deployment.spec
    if spec.suspend or (spec.run_on is not None and "SpecChange" not in spec.run_on):
        return None
    current, last = spec_hash(spec), deployment.status.last_trigger
    if last and last.spec_hash == current:
        return None
    return LastTrigger(spec_hash=current, sequence=(last.sequence if last else 0) + 1)


def _run_manifest(deployment: FlowDeployment, trigger: LastTrigger) -> dict[str, Any]:
    meta = deployment.metadata
    return {
        "apiVersion": API_VERSION,
        "kind": "FlowRun",
        "metadata": {
            "name": names.spec_change_run_name(
                meta.name, meta.uid, trigger.spec_hash, trigger.sequence
            ),
            "namespace": meta.namespace,
            "labels": {
                names.LABEL_MANAGED_BY: names.MANAGER,
                names.LABEL_DEPLOYMENT_UID: meta.uid,
            },
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": "FlowDeployment",
                    "name": meta.name,
                    "uid": meta.uid,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": {"deploymentRef": {"name": meta.name}, "trigger": {"type": "SpecChange"}},
    }


def _status(
    deployment: FlowDeployment,
    runs: list[FlowRun],
    last_trigger: LastTrigger | None,
    refusal: Refusal | None,
    now: datetime,
) -> FlowDeploymentStatus:
    generation, old = deployment.metadata.generation, deployment.status
    if refusal:
        ready = make_condition(
            old.conditions, ConditionType.READY, "False", refusal.reason, refusal.message,
            generation=generation, now=now,
        )  # fmt: skip
    elif deployment.spec.suspend:
        ready = make_condition(
            old.conditions, ConditionType.READY, "True", Reason.SUSPENDED,
            "spec.suspend is true: the operator starts no runs of this deployment",
            generation=generation, now=now,
        )  # fmt: skip
    else:
        ready = make_condition(
            old.conditions, ConditionType.READY, "True", Reason.ACCEPTED,
            "The definition is valid", generation=generation, now=now,
        )  # fmt: skip
    conditions = [ready]
    if last_finished := _last_run_succeeded(deployment, runs, now):
        conditions.append(last_finished)

    fields: dict[str, Any] = {
        "observed_generation": generation,
        "conditions": conditions,
        "source": deployment.spec.source.summary(),
    }
    if last_trigger:
        fields["last_trigger"] = last_trigger
    if last_run := _last_run(old.last_run, runs):
        fields["last_run"] = last_run
    return FlowDeploymentStatus(**fields)


def _created(run: FlowRun) -> datetime:
    return run.metadata.creation_timestamp or datetime.min.replace(tzinfo=UTC)


def _last_run(known: LastRun | None, runs: list[FlowRun]) -> LastRun | None:
    newest = max(runs, key=lambda run: (_created(run), run.metadata.name), default=None)
    if newest is None:
        return known
    gone = known and all(run.metadata.name != known.name for run in runs)
    if known and gone and known.start_time and known.start_time > _created(newest):
        return known  # the newest run is deleted already; what it was stays on record
    status = newest.status
    fields: dict[str, Any] = {
        "name": newest.metadata.name,
        "phase": status.phase or Phase.PENDING,
        "revision": status.revision,
        "start_time": status.start_time,
        "completion_time": status.completion_time,
    }
    return LastRun(**{name: value for name, value in fields.items() if value is not None})


def _last_run_succeeded(
    deployment: FlowDeployment, runs: list[FlowRun], now: datetime
) -> Condition | None:
    old = find_condition(deployment.status.conditions, ConditionType.LAST_RUN_SUCCEEDED)
    finished = [run for run in runs if is_finished(run)]
    newest = max(
        finished, key=lambda run: (run.status.completion_time, run.metadata.name), default=None
    )
    if newest is None:
        return old
    succeeded = find_condition(newest.status.conditions, ConditionType.SUCCEEDED)
    if succeeded is None:
        return old
    return make_condition(
        deployment.status.conditions,
        ConditionType.LAST_RUN_SUCCEEDED,
        "True" if succeeded.status == "True" else "False",
        succeeded.reason,
        f"FlowRun {newest.metadata.name}: {succeeded.message}",
        generation=deployment.metadata.generation,
        now=now,
    )


def _beyond_history(deployment: FlowDeployment, runs: list[FlowRun]) -> list[Action]:
    """Return the deletions that the history limits ask for; only of runs the operator made."""
    ours = []
    for run in runs:
        owner = run.metadata.controller()
        if owner and owner.uid == deployment.metadata.uid and is_finished(run):
            ours.append(run)
    ours.sort(key=lambda run: (run.status.completion_time, run.metadata.name), reverse=True)
    succeeded = [run for run in ours if run.status.phase == Phase.SUCCEEDED]
    failed = [run for run in ours if run.status.phase != Phase.SUCCEEDED]
    spec = deployment.spec
    beyond = [
        *succeeded[spec.successful_runs_history_limit :],
        *failed[spec.failed_runs_history_limit :],
    ]
    return [
        DeleteRun(run.metadata.name, run.metadata.uid)
        for run in beyond
        if not run.metadata.deletion_timestamp
    ]


def _invalid(raw: dict[str, Any], problems: list[str], now: datetime) -> Decision:
    """Say what is wrong with a definition, and keep what is known of its runs."""
    try:
        old = FlowDeploymentStatus.model_validate(raw.get("status") or {})
    except ValidationError:
        old = FlowDeploymentStatus()
    generation = raw["metadata"].get("generation", 0)
    message = "; ".join(problems)
    kept = [
        condition
        for condition in old.conditions
        if condition.type not in (ConditionType.READY, ConditionType.STALLED)
    ]
    verdicts: tuple[tuple[ConditionType, Literal["True", "False"]], ...] = (
        (ConditionType.READY, "False"),
        (ConditionType.STALLED, "True"),
    )
    conditions = [
        make_condition(
            old.conditions,
            kind,
            verdict,
            Reason.INVALID_SPEC,
            message,
            generation=generation,
            now=now,
        )
        for kind, verdict in verdicts
    ]
    status = old.model_copy(
        update={"observed_generation": generation, "conditions": [*conditions, *kept]}
    ).to_manifest()
    if status == raw.get("status"):
        return Decision()
    event = EmitEvent(
        names.event_name(raw["metadata"]["uid"], Reason.INVALID_SPEC, generation),
        "Warning",
        Reason.INVALID_SPEC,
        message,
        "Validate",
    )
    return Decision((WriteStatus(status), event))
