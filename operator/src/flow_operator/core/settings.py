"""What the operator's administrator decides for all runs; read from a YAML file by the shell."""

from typing import Any, Literal

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from flow_operator.api.v1alpha1.meta import Model

PullPolicy = Literal["Always", "IfNotPresent", "Never"]


class Settings(Model):
    """Settings for the Pods of runs; unknown keys are refused, so that typing errors show."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid"
    )

    fetcher_image: str = Field(
        default="flow-fetcher:dev", description="Image of the fetch container."
    )
    fetcher_full_image: str = Field(
        default="flow-fetcher-full:dev",
        description="Image of the fetch container for the source fsspec: more packages.",
    )
    fetcher_image_pull_policy: PullPolicy | None = Field(
        default=None, description="Pull policy of the fetch container. Unset: Kubernetes' default."
    )
    default_image: str = Field(
        default="python:3.13-slim", description="Image of runs whose deployment names none."
    )
    image_pull_policy: PullPolicy | None = Field(
        default=None, description="Pull policy of the main container. Unset: Kubernetes' default."
    )
    set_ids: bool = Field(
        default=True,
        alias="setIDs",
        description=(
            "Whether Pods run as user, group and fsGroup 65532; false where the platform "
            "assigns the IDs, as OpenShift does."
        ),
    )
    read_only_root_filesystem: bool = Field(
        default=True,
        description="Whether the main container's root file system is read-only.",
    )
    max_active_runs: int | None = Field(
        default=None,
        ge=1,
        description="How many runs may have Pods at the same time. Unset: any number.",
    )
    max_active_runs_per_namespace: int | None = Field(
        default=None,
        ge=1,
        description="How many runs of one namespace may have Pods. Unset: any number.",
    )
    fetch_resources: dict[str, Any] = Field(
        default={"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        description="Compute resources of the fetch container.",
    )

    @property
    def limits_runs(self) -> bool:
        """Whether the number of active runs is limited."""
        return bool(self.max_active_runs or self.max_active_runs_per_namespace)
