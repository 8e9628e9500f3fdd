"""What every model shares: its base, the metadata of an object."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

GROUP = "flow-operator.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


class Model(BaseModel):
    """A part of the API: camelCase outside, immutable inside, fields of newer releases ignored."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore"
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_unset(cls, given: Any) -> Any:
        """Leave out the fields that are null, as the API server does."""
        if isinstance(given, dict) and None in given.values():
            return {key: value for key, value in given.items() if value is not None}
        return given

    def to_manifest(self) -> dict[str, Any]:
        """Return the JSON form: camelCase, without the fields that nobody set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)


PRESERVE: dict[str, Any] = {"x-kubernetes-preserve-unknown-fields": True}
"""Schema of a field that may hold anything."""

DNS_SUBDOMAIN = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*$"
"""What Kubernetes takes for the name of most objects."""

DNS_LABEL = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
"""What Kubernetes takes for one part of such a name."""

DURATION = r"^([1-9][0-9]{0,5}[smhdw]){1,4}$"
"""A duration that is longer than nothing, such as 90s or 1h30m."""

TIMESTAMP = (
    r"^(19[7-9][0-9]|2[0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
"""A moment in whole seconds, after RFC 3339."""


class OwnerReference(Model):
    """An owner of an object, as Kubernetes records it."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool = False


class ObjectMeta(Model):
    """The metadata that decisions need; everything else of it is ignored."""

    name: str
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    owner_references: list[OwnerReference] = Field(default_factory=list)

    def controller(self) -> OwnerReference | None:
        """Return the owner that controls this object, if there is one."""
        return next((owner for owner in self.owner_references if owner.controller), None)


class LocalObjectReference(Model):
    """Names an object in the same namespace."""

    name: str = Field(
        description="Name of the object in the namespace of this resource.",
        min_length=1,
        max_length=253,
        pattern=DNS_SUBDOMAIN,
    )
