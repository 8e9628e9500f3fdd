"""Names and keys of all that the operator makes: deterministic, so a crash doubles nothing."""

import hashlib
import re
from datetime import datetime
from functools import lru_cache

from flow_operator.api.v1alpha1 import GROUP

LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "flow-operator"
LABEL_DEPLOYMENT_UID = f"{GROUP}/deployment-uid"
LABEL_RUN_UID = f"{GROUP}/run-uid"
LABEL_ATTEMPT = f"{GROUP}/attempt"
ANNOTATION_RUN = f"{GROUP}/run"
"""Name of the FlowRun, on Jobs and Pods. An annotation: labels are too short for every name."""
ANNOTATION_REPLACED_BY = f"{GROUP}/replaced-by"
"""Name of the run that a run was cancelled for."""
ANNOTATION_AHEAD = f"{GROUP}/made-ahead"
"""On a FlowRun that was made before its tick: a hash of its spec."""
ANNOTATION_PLAN = f"{GROUP}/plan"
ANNOTATION_SNAPSHOT = f"{GROUP}/resolved-spec"
"""The snapshot of a run, on the Job that was made before the run's status had it."""

_CUT = 36


def digest(*parts: object, length: int = 10) -> str:
    """Return the first hex digits of a SHA-256 over the parts, unambiguous in their number."""
    joined = "\0".join(str(part) for part in parts)
    return hashlib.sha256(joined.encode()).hexdigest()[:length]


def _cut(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name[:_CUT].lower()).strip("-") or "flow"


def spec_change_run_name(
    deployment: str, deployment_uid: str, spec_hash: str, sequence: int
) -> str:
    """Return the name of the FlowRun for one change of a spec."""
    return f"{_cut(deployment)}-{digest(deployment_uid, spec_hash, sequence)}"


@lru_cache(maxsize=256)  # asked several times in every decision
def tick_run_name(deployment: str, deployment_uid: str, schedule: str, tick: datetime) -> str:
    """Return the name of the one FlowRun for one tick of one schedule."""
    return f"{_cut(deployment)}-{digest(deployment_uid, schedule, int(tick.timestamp()))}"


def backfill_run_name(deployment: str, schedule: str, tick: datetime) -> str:
    """Return the name of the FlowRun that makes up for one tick of the past."""
    key = digest(deployment, "backfill", schedule, int(tick.timestamp()))
    return f"{_cut(deployment)}-{key}"


def job_name(run: str, run_uid: str, attempt: int) -> str:
    """Return the name of the Job of one attempt: a DNS label of at most 63 characters."""
    return f"{_cut(run)}-{digest(run_uid)}-{attempt}"


def event_name(uid: str, *key: object) -> str:
    """Return the name of the Event for one transition of one object."""
    return f"flow-{digest(uid, *key, length=24)}"
