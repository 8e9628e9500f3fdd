"""The Job of one attempt. Everything about the Pod of a run is decided here."""

from typing import Any

from flow_operator.api.v1alpha1 import API_VERSION, FlowDeploymentSpec, FlowRun
from flow_operator.core import names
from flow_operator.core.durations import format_moment, parse_moment
from flow_operator.core.plan import build_plan, encode_plan
from flow_operator.core.resolve import resolved
from flow_operator.core.settings import Settings

FETCH = "fetch"
FLOW = "flow"

VOLUME_PATH = "/flow"
PLAN_PATH = "/etc/flow/plan"
CREDENTIALS_PATH = "/etc/flow/credentials"
TMP_PATH = "/tmp"  # noqa: S108 - the mount point of an emptyDir of the Pod
TERMINATION_LOG = "/dev/termination-log"
USER_ID = 65532


def build_job(
    run: FlowRun,
    attempt: int,
    settings: Settings,
    *,
    seconds: int | None = None,
    snapshot: str | None = None,
) -> dict[str, Any]:
    """Return the Job of an attempt, from the run's snapshot and the settings alone.

    Args:
        run: The run.
        attempt: Number of the attempt.
        settings: The administrator's settings.
        seconds: How long the Pod may run. The kubelet sees to it, whether the operator is up or
            not, and keeps the Pod for its story.
        snapshot: What the Job tells of the run's snapshot, for the status does not have it yet.

    Raises:
        ValueError: The run has no readable `status.resolvedSpec`.
    """
    spec = resolved(run)
    containers = 2
    plan = build_plan(run, spec, attempt=attempt, containers=containers)
    labels = {
        "app.kubernetes.io/name": "flow",
        "app.kubernetes.io/component": "run",
        "app.kubernetes.io/part-of": "flow-operator",
        names.LABEL_MANAGED_BY: names.MANAGER,
        names.LABEL_RUN_UID: run.metadata.uid,
        names.LABEL_ATTEMPT: str(attempt),
    }
    annotations = {names.ANNOTATION_RUN: run.metadata.name}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": names.job_name(run.metadata.name, run.metadata.uid, attempt),
            "namespace": run.metadata.namespace,
            "labels": labels,
            "annotations": {**annotations, **_telling(snapshot)},
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": "FlowRun",
                    "name": run.metadata.name,
                    "uid": run.metadata.uid,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            # A disrupted Pod fails the Job at once, so that the evidence stays on the Job.
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "FailJob",
                        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                    }
                ]
            },
            "podReplacementPolicy": "Failed",
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": {**annotations, names.ANNOTATION_PLAN: encode_plan(plan)},
                },
                "spec": _pod(run, spec, attempt, settings, seconds),
            },
        },
    }


def _telling(snapshot: str | None) -> dict[str, str]:
    return {} if snapshot is None else {names.ANNOTATION_SNAPSHOT: snapshot}


def _pod(
    run: FlowRun,
    spec: FlowDeploymentSpec,
    attempt: int,
    settings: Settings,
    seconds: int | None,
) -> dict[str, Any]:
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "securityContext": _pod_security(settings),
        "initContainers": [_fetch(spec, settings)],
        "containers": [_flow(run, spec, attempt, settings)],
        "volumes": _volumes(spec),
    }
    if seconds is not None:
        pod["activeDeadlineSeconds"] = seconds
    if spec.termination_grace_period_seconds is not None:
        pod["terminationGracePeriodSeconds"] = spec.termination_grace_period_seconds
    if spec.service_account_name:
        pod["serviceAccountName"] = spec.service_account_name
    else:
        pod["automountServiceAccountToken"] = False
    if spec.image_pull_secrets:
        pod["imagePullSecrets"] = [ref.to_manifest() for ref in spec.image_pull_secrets]
    return pod


def _fetch(spec: FlowDeploymentSpec, settings: Settings) -> dict[str, Any]:
    mounts = [
        {"name": "flow", "mountPath": VOLUME_PATH},
        {"name": "plan", "mountPath": PLAN_PATH, "readOnly": True},
        {"name": "tmp", "mountPath": TMP_PATH},
    ]
    if spec.source.secret_name():
        mounts.append({"name": "credentials", "mountPath": CREDENTIALS_PATH, "readOnly": True})
    container = {
        "name": FETCH,
        "image": settings.fetcher_full_image if spec.source.fsspec else settings.fetcher_image,
        "command": ["flow-fetcher"],
        "args": [
            "fetch",
            "--plan",
            f"{PLAN_PATH}/plan.json",
            "--credentials",
            CREDENTIALS_PATH,
            "--volume",
            VOLUME_PATH,
            "--termination-log",
            TERMINATION_LOG,
        ],
        "env": [{"name": "HOME", "value": TMP_PATH}, {"name": "TMPDIR", "value": TMP_PATH}],
        "resources": _fetch_resources(spec, settings),
        "securityContext": _container_security(read_only_root=True),
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "volumeMounts": mounts,
    }
    if settings.fetcher_image_pull_policy:
        container["imagePullPolicy"] = settings.fetcher_image_pull_policy
    return container


def _fetch_resources(spec: FlowDeploymentSpec, settings: Settings) -> dict[str, Any]:
    chosen = spec.fetch and spec.fetch.resources
    return chosen.to_manifest() if chosen else settings.fetch_resources


def _flow(
    run: FlowRun, spec: FlowDeploymentSpec, attempt: int, settings: Settings
) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": FLOW,
        "image": spec.image or settings.default_image,
        "command": spec.command or ["python3", "-u", f"{VOLUME_PATH}/run/runner.py"],
        "workingDir": "/".join(filter(None, [f"{VOLUME_PATH}/src", spec.working_directory])),
        "env": _flow_env(run, spec, attempt),
        "securityContext": _container_security(read_only_root=settings.read_only_root_filesystem),
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "volumeMounts": [
            {"name": "flow", "mountPath": VOLUME_PATH},
            {"name": "tmp", "mountPath": TMP_PATH},
        ],
    }
    if settings.image_pull_policy:
        container["imagePullPolicy"] = settings.image_pull_policy
    if spec.env_from:
        container["envFrom"] = [source.to_manifest() for source in spec.env_from]
    if spec.resources:
        container["resources"] = spec.resources.to_manifest()
    return container


def _flow_env(run: FlowRun, spec: FlowDeploymentSpec, attempt: int) -> list[dict[str, Any]]:
    """Return ours first, so that the user's may refer to them; the user's win where they may."""
    ours = {
        **scheduled_env(run),
        "FLOW_RUN_NAME": run.metadata.name,
        "FLOW_RUN_NAMESPACE": run.metadata.namespace,
        "FLOW_DEPLOYMENT_NAME": run.spec.deployment_ref.name,
        "FLOW_ATTEMPT": str(attempt),
        "FLOW_CONTEXT": f"{VOLUME_PATH}/run/context.json",
        "FLOW_TERMINATION_LOG": TERMINATION_LOG,
        "HOME": f"{VOLUME_PATH}/home",
        "TMPDIR": TMP_PATH,
        "PYTHONUNBUFFERED": "1",
    }
    users = {variable.name: variable.to_manifest() for variable in spec.env or []}
    merged = {name: {"name": name, "value": value} for name, value in ours.items()}
    return list({**merged, **users}.values())


def scheduled_env(run: FlowRun) -> dict[str, str]:
    """Return what the code of a scheduled run is told about its tick."""
    trigger = run.spec.trigger
    if trigger is None or trigger.scheduled_time is None:
        return {}
    told = {"FLOW_SCHEDULED_TIME": format_moment(parse_moment(trigger.scheduled_time))}
    if trigger.schedule:
        told["FLOW_SCHEDULE"] = trigger.schedule
    return told


def _volumes(spec: FlowDeploymentSpec) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [
        {"name": "flow", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
        {
            "name": "plan",
            "downwardAPI": {
                "items": [
                    {
                        "path": "plan.json",
                        "fieldRef": {
                            "fieldPath": f"metadata.annotations['{names.ANNOTATION_PLAN}']"
                        },
                    }
                ]
            },
        },
    ]
    if secret := spec.source.secret_name():
        # Optional: a missing Secret is the fetcher's clear error, not a Pod that hangs. Readable
        # by any UID: the volume is mounted into the fetch container alone.
        volumes.append(
            {
                "name": "credentials",
                "secret": {"secretName": secret, "optional": True, "defaultMode": 0o444},
            }
        )
    return volumes


def _pod_security(settings: Settings) -> dict[str, Any]:
    context: dict[str, Any] = {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if settings.set_ids:
        context |= {
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "fsGroupChangePolicy": "OnRootMismatch",
        }
    return context


def _container_security(*, read_only_root: bool) -> dict[str, Any]:
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": read_only_root,
    }
