"""The hash that tells whether an edit of a FlowDeployment changes what runs."""

import hashlib
import json

from flow_operator.api.v1alpha1 import FlowDeploymentSpec

POD_FIELDS: set[str] = {
    "source",
    "working_directory",
    "entrypoint",
    "command",
    "parameters",
    "image",
    "env",
    "env_from",
    "resources",
    "fetch",
    "service_account_name",
    "image_pull_secrets",
}
"""The fields of the spec that change the Pod. Everything else is about when and how long."""


def spec_hash(spec: FlowDeploymentSpec) -> str:
    """Return a hash of what the user wrote that changes the Pod.

    Fields that hold their default count as unwritten: the API server fills in defaults, so a
    default that a later CRD brings must not look like an edit.
    """
    written = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, include=POD_FIELDS)
    canonical = json.dumps(written, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
