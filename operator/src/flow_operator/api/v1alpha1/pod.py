"""The parts of a Pod that a user may set: the same names and shapes as in the core API."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, WithJsonSchema

from flow_operator.api.v1alpha1.meta import LocalObjectReference, Model, cel

Quantity = Annotated[
    str | int | float,
    WithJsonSchema(
        {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
    ),
]


class KeySelector(Model):
    """One key of a ConfigMap or Secret."""

    name: str = Field(description="Name of the object.", min_length=1, max_length=253)
    key: str = Field(description="Key within it.", min_length=1, max_length=253)
    optional: bool | None = Field(
        default=None, description="Whether the variable is left out when the key is missing."
    )


class FieldSelector(Model):
    """A field of the Pod."""

    field_path: str = Field(description="Path of the field, such as metadata.name.", max_length=512)


class EnvVarSource(Model):
    """Where the value of a variable comes from."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "[has(self.configMapKeyRef), has(self.secretKeyRef), has(self.fieldRef)]"
                ".filter(x, x).size() == 1",
                "valueFrom takes exactly one of configMapKeyRef, secretKeyRef, fieldRef",
            )
        )
    )

    config_map_key_ref: KeySelector | None = Field(
        default=None, description="A key of a ConfigMap."
    )
    secret_key_ref: KeySelector | None = Field(default=None, description="A key of a Secret.")
    field_ref: FieldSelector | None = Field(default=None, description="A field of the Pod.")


class EnvVar(Model):
    """One environment variable of the main container."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!has(self.value) || !has(self.valueFrom)",
                "env takes value or valueFrom, not both",
            ),
            (
                "!self.name.startsWith('FLOW_')",
                "env names that begin with FLOW_ are reserved",
            ),
        )
    )

    name: str = Field(
        description="Name of the variable.",
        min_length=1,
        max_length=253,
        pattern=r"^[^=\x00-\x1f\x7f]+$",
    )
    value: str | None = Field(
        default=None,
        description="Value; $(OTHER) is replaced by the value of another variable.",
        max_length=32768,
    )
    value_from: EnvVarSource | None = Field(
        default=None, description="Where the value comes from instead."
    )


class EnvFromSource(Model):
    """A ConfigMap or Secret whose keys all become variables."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "has(self.configMapRef) != has(self.secretRef)",
                "envFrom takes exactly one of configMapRef, secretRef",
            )
        )
    )

    prefix: str | None = Field(default=None, description="Put before every name.", max_length=253)
    config_map_ref: "OptionalReference | None" = Field(default=None, description="A ConfigMap.")
    secret_ref: "OptionalReference | None" = Field(default=None, description="A Secret.")


class OptionalReference(LocalObjectReference):
    """Names an object that may be missing."""

    optional: bool | None = Field(default=None, description="Whether the object may be missing.")


class ResourceRequirements(Model):
    """Compute resources of the main container."""

    limits: dict[str, Quantity] | None = Field(
        default=None, description="The most that the container may use."
    )
    requests: dict[str, Quantity] | None = Field(
        default=None, description="What the container is scheduled with."
    )


Parameters = dict[str, Any]
