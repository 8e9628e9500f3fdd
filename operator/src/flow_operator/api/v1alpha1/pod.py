"""The parts of a Pod that a user may set: the same names and shapes as in the core API."""

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from flow_operator.api.rules import Rule, exactly_one, rules, without
from flow_operator.api.v1alpha1.meta import DNS_SUBDOMAIN, LocalObjectReference, Model

_QUANTITY = r"^[+]?([0-9]+([.][0-9]*)?|[.][0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$"

Quantity = Annotated[
    str | int | float,
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": _QUANTITY,
            "x-kubernetes-int-or-string": True,
        }
    ),
]
"""An amount of a resource, such as 500m, 2 or 1Gi."""

Parameters = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {
                "nullable": True,
                "x-kubernetes-preserve-unknown-fields": True,
            },
        }
    ),
]
"""Any JSON by name.

The schema is a map of open values and not one open object: the API server compares two open objects
by their size and common keys alone, so that a renamed key would pass for no change. `nullable`
keeps it from dropping an argument that is null.
"""


class KeySelector(Model):
    """One key of a ConfigMap or Secret."""

    name: str = Field(
        description="Name of the object.", min_length=1, max_length=253, pattern=DNS_SUBDOMAIN
    )
    key: str = Field(
        description="Key within it.", min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$"
    )
    optional: bool | None = Field(
        default=None, description="Whether the variable is left out when the key is missing."
    )


class FieldSelector(Model):
    """A field of the Pod."""

    field_path: str = Field(
        description="Path of the field, such as metadata.name.", min_length=1, max_length=512
    )


class EnvVarSource(Model):
    """Where the value of a variable comes from."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            exactly_one("valueFrom", "configMapKeyRef", "secretKeyRef", "fieldRef")
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
        json_schema_extra=rules(
            Rule(
                cel="!has(self.value) || !has(self.valueFrom)",
                message="env takes value or valueFrom, not both",
                check=lambda value: "value" not in value or "valueFrom" not in value,
                field="valueFrom",
                forbidden=True,
            )
        )
    )

    name: str = Field(
        description="Name of the variable.",
        min_length=1,
        max_length=253,
        pattern=r"^[ -<>-~]+$",
        json_schema_extra=rules(
            without("^FLOW_", "name must not begin with FLOW_: such variables are the operator's")
        ),
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
        json_schema_extra=rules(exactly_one("envFrom", "configMapRef", "secretRef"))
    )

    prefix: str | None = Field(
        default=None,
        description="Put before every name.",
        max_length=253,
        pattern=r"^[ -<>-~]*$",
    )
    config_map_ref: "OptionalReference | None" = Field(default=None, description="A ConfigMap.")
    secret_ref: "OptionalReference | None" = Field(default=None, description="A Secret.")


class OptionalReference(LocalObjectReference):
    """Names an object that may be missing."""

    optional: bool | None = Field(default=None, description="Whether the object may be missing.")


def _without_nulls(amounts: Any) -> Any:
    """Leave out the amounts that are null, as the API server does."""
    if isinstance(amounts, dict):
        return {name: amount for name, amount in amounts.items() if amount is not None}
    return amounts


Amounts = Annotated[dict[str, Quantity], BeforeValidator(_without_nulls)]


class ResourceRequirements(Model):
    """Compute resources of the main container."""

    limits: Amounts | None = Field(default=None, description="The most that the container may use.")
    requests: Amounts | None = Field(
        default=None, description="What the container is scheduled with."
    )
