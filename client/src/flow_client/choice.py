"""Decides which run of the given objects is meant, and makes one where none is written down."""

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flow_client.errors import ClientError
from flow_client.objects import Manifest, Objects
from flow_operator.api.v1alpha1 import API_VERSION
from flow_operator.api.validate import validate


@dataclass(frozen=True)
class Choice:
    """The run to make, and the deployment that it is of."""

    deployment: Manifest
    run: Manifest


def choose(
    objects: Objects,
    name: str | None = None,
    *,
    parameters: dict[str, Any] | None = None,
    revision: str | None = None,
) -> Choice:
    """Return the one run that is meant.

    A FlowRun of the files is taken before one is made up for a FlowDeployment.

    Args:
        objects: What the files hold.
        name: Name of a FlowRun or FlowDeployment among them; needed when there are several.
        parameters: Arguments over those of the manifests.
        revision: Revision in place of the manifests'.

    Raises:
        ClientError: There is no such run, or more than one.
    """
    deployment, run = _find(objects, name)
    spec = dict(run["spec"])
    if parameters:
        spec["parameters"] = {**(spec.get("parameters") or {}), **parameters}
    if revision:
        spec["revision"] = revision
    run = {**run, "spec": spec}
    if problems := validate("FlowRun", run):
        raise ClientError("\n".join(str(problem) for problem in problems))
    return Choice(_as_stored(deployment), _as_stored(run))


def parse_parameters(texts: Iterable[str]) -> dict[str, Any]:
    """Return the parameters that `name=value` texts give: JSON where it is some, else a string.

    Raises:
        ClientError: A text has no `=`.
    """
    parameters = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not (name and separator):
            raise ClientError(f"--parameter {text!r} must be name=value")
        try:
            parameters[name] = json.loads(value, parse_constant=lambda constant: constant)
        except ValueError:
            parameters[name] = value
    return parameters


def _find(objects: Objects, name: str | None) -> tuple[Manifest, Manifest]:
    runs = [run for key, run in objects.runs.items() if name in (None, key[1])]
    deployments = [found for key, found in objects.deployments.items() if name in (None, key[1])]
    if len(runs) > 1 or (not runs and len(deployments) > 1):
        several = sorted({found["metadata"]["name"] for found in runs or deployments})
        raise ClientError(f"say which one to run: {', '.join(several)}")
    if runs:
        key = (runs[0]["metadata"]["namespace"], runs[0]["spec"]["deploymentRef"]["name"])
        if key not in objects.deployments:
            raise ClientError(
                f"FlowRun {runs[0]['metadata']['name']}: spec.deploymentRef.name: there is no "
                f"FlowDeployment {key[1]!r} in namespace {key[0]!r} of the files given"
            )
        return objects.deployments[key], runs[0]
    if deployments:
        return deployments[0], _run_of(deployments[0])
    known = ", ".join(sorted(key[1] for key in (*objects.deployments, *objects.runs)))
    if name and known:
        raise ClientError(f"there is no FlowDeployment or FlowRun {name!r} in the files: {known}")
    raise ClientError("there is no FlowDeployment in the files given")


def _run_of(deployment: Manifest) -> Manifest:
    metadata = deployment["metadata"]
    return {
        "apiVersion": API_VERSION,
        "kind": "FlowRun",
        "metadata": {
            "name": f"{metadata['name'][:48].rstrip('-.')}-local",
            "namespace": metadata["namespace"],
        },
        "spec": {"deploymentRef": {"name": metadata["name"]}},
    }


def _as_stored(manifest: Manifest) -> Manifest:
    """Return an object as the API server answers it to the one who created it."""
    metadata = {
        **manifest["metadata"],
        "uid": str(uuid.uuid4()),
        "generation": 1,
        "creationTimestamp": datetime.now(UTC).isoformat(),
        "ownerReferences": [],
    }
    return {key: value for key, value in manifest.items() if key != "status"} | {
        "metadata": metadata
    }
