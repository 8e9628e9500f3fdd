"""What the benches create: deployments as people write them, CronJobs that do the same."""

from __future__ import annotations

import re
from typing import Any

from tests.bench.scale.api import FLOWS, Object

_NUMBERED = re.compile(r"^([a-z]+-\d+)-")
_IMAGE = "python:3.13-slim"
_PARAMETERS = {"day": "2026-11-22", "limit": 10, "regions": ["eu", "us"]}
_ENV = [{"name": "LOG_LEVEL", "value": "INFO"}, {"name": "TARGET", "value": "warehouse"}]
_RESOURCES = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}


def deployment(namespace: str, name: str, **spec: Any) -> Object:
    """A FlowDeployment of the usual size."""
    return {
        "apiVersion": FLOWS,
        "kind": "FlowDeployment",
        "metadata": {"name": name, "namespace": namespace, "labels": {"team": "data"}},
        "spec": {
            "source": {"git": {"url": "https://git.example/flows.git", "ref": {"branch": "main"}}},
            "workingDirectory": "pipelines",
            "entrypoint": "etl/nightly.py:main",
            "image": _IMAGE,
            "parameters": _PARAMETERS,
            "env": _ENV,
            "resources": _RESOURCES,
            **spec,
        },
    }


def cron(expression: str) -> list[Object]:
    """The schedules of a deployment that has one."""
    return [{"name": "default", "cron": expression}]


def every(seconds: int, anchor: str | None = None) -> list[Object]:
    """The same, by interval; the anchor is a time such as 2026-01-01T00:00:00Z."""
    interval = {"every": f"{seconds}s", **({"anchor": anchor} if anchor else {})}
    return [{"name": "default", "interval": interval}]


def cron_job(namespace: str, name: str, expression: str) -> Object:
    """A CronJob that fetches code with git and runs it, as one writes it by hand."""
    code = [{"name": "code", "mountPath": "/flow"}]
    clone = ["git", "clone", "--depth=1", "https://git.example/flows.git", "/flow/src"]
    pod = {
        "restartPolicy": "Never",
        "initContainers": [
            {"name": "fetch", "image": "alpine/git", "command": clone, "volumeMounts": code}
        ],
        "containers": [
            {
                "name": "flow",
                "image": _IMAGE,
                "command": ["python", "etl/nightly.py"],
                "workingDir": "/flow/src/pipelines",
                "env": _ENV,
                "resources": _RESOURCES,
                "volumeMounts": code,
            }
        ],
        "volumes": [{"name": "code", "emptyDir": {}}],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name, "namespace": namespace, "labels": {"team": "data"}},
        "spec": {
            "schedule": expression,
            "timeZone": "Etc/UTC",
            "jobTemplate": {"spec": {"backoffLimit": 0, "template": {"spec": pod}}},
        },
    }


def owner_of(name: str) -> str | None:
    """The deployment or CronJob whose Job (or run) has this name, if it is one of the bench's.

    Names begin with a word and a number, such as `storm-0042`, and what is made adds to them.
    """
    match = _NUMBERED.match(name)
    return match[1] if match else None
