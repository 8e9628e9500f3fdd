"""Kinds of `flow-operator.io/v1alpha1`."""

from flow_operator.api.v1alpha1.conditions import Condition, Reason, find_condition
from flow_operator.api.v1alpha1.flowdeployment import (
    FlowDeployment,
    FlowDeploymentSpec,
    FlowDeploymentStatus,
)
from flow_operator.api.v1alpha1.flowrun import FlowRun, FlowRunSpec, FlowRunStatus, Phase
from flow_operator.api.v1alpha1.meta import API_VERSION, GROUP, VERSION, ObjectMeta

__all__ = [
    "API_VERSION",
    "GROUP",
    "VERSION",
    "Condition",
    "FlowDeployment",
    "FlowDeploymentSpec",
    "FlowDeploymentStatus",
    "FlowRun",
    "FlowRunSpec",
    "FlowRunStatus",
    "ObjectMeta",
    "Phase",
    "Reason",
    "find_condition",
]
