"""What starts a run by itself, and the FlowRun that comes of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flow_operator.api.v1alpha1 import API_VERSION, FlowDeployment
from flow_operator.api.v1alpha1.flowdeployment import LastTrigger
from flow_operator.api.v1alpha1.schedule import Schedule
from flow_operator.core import names
from flow_operator.core.durations import format_moment
from flow_operator.core.spechash import spec_hash


@dataclass(frozen=True, slots=True)
class SpecChange:
    """The spec differs from the one that was run last."""

    trigger: LastTrigger

    def run_name(self, deployment: FlowDeployment) -> str:
        """Return the name of its one run."""
        meta, trigger = deployment.metadata, self.trigger
        return names.spec_change_run_name(meta.name, meta.uid, trigger.spec_hash, trigger.sequence)


@dataclass(frozen=True, slots=True)
class Tick:
    """A moment at which a schedule wants a run."""

    schedule: Schedule
    time: datetime

    def run_name(self, deployment: FlowDeployment) -> str:
        """Return the name of its one run."""
        meta = deployment.metadata
        return names.tick_run_name(meta.name, meta.uid, self.schedule.name, self.time)


Start = SpecChange | Tick


def runs_on_spec_change(deployment: FlowDeployment) -> bool:
    """Tell whether edits start runs: if it says so, or says nothing and has no schedules."""
    spec = deployment.spec
    if spec.run_on is None:
        return not spec.schedules
    return "SpecChange" in spec.run_on


def spec_change(deployment: FlowDeployment) -> SpecChange | None:
    """Return the spec change that is due, if one is."""
    if deployment.spec.suspend or not runs_on_spec_change(deployment):
        return None
    last, current = deployment.status.last_trigger, spec_hash(deployment.spec)
    if last and last.spec_hash == current:
        return None
    return SpecChange(LastTrigger(spec_hash=current, sequence=(last.sequence if last else 0) + 1))


def last_trigger(deployment: FlowDeployment) -> LastTrigger | None:
    """Return what to keep on record while no spec change is due.

    Where edits start no runs, the newest spec counts as run: that edits start runs again, as when
    the last schedule is removed, then starts none by itself.
    """
    last = deployment.status.last_trigger
    if runs_on_spec_change(deployment):
        return last
    return LastTrigger(spec_hash=spec_hash(deployment.spec), sequence=last.sequence if last else 0)


def run_manifest(deployment: FlowDeployment, start: Start) -> dict[str, Any]:
    """Return the FlowRun that a start is carried out by."""
    meta = deployment.metadata
    spec: dict[str, Any] = {"deploymentRef": {"name": meta.name}}
    if isinstance(start, Tick):
        schedule = start.schedule
        spec["trigger"] = {
            "type": "Schedule",
            "schedule": schedule.name,
            "scheduledTime": format_moment(start.time),
        }
        if schedule.parameters:
            spec["parameters"] = schedule.parameters
    else:
        spec["trigger"] = {"type": "SpecChange"}
    return {
        "apiVersion": API_VERSION,
        "kind": "FlowRun",
        "metadata": {
            "name": start.run_name(deployment),
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
        "spec": spec,
    }
