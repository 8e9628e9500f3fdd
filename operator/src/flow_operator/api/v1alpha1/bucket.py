"""The stores of objects: S3, Google Cloud Storage and Azure Blob Storage.

All of them take either a prefix, whose objects are the tree, or the key of one archive.
"""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from flow_operator.api.rules import Rule, at_most_one, matching, rules, without
from flow_operator.api.v1alpha1.meta import LocalObjectReference, Model
from flow_operator.api.v1alpha1.transport import HOST, Insecure, encrypted, no_credentials

_ENDPOINT = rf"^https?://([^/]*@)?{HOST}/?$"
_ENDPOINT_WITH_PATH = rf"^https?://([^/]*@)?{HOST}(/[A-Za-z0-9_.-]+)?/?$"
UNSAFE_PATH = r"^/|//|(^|/)[.][.]?(/|$)|[\x00-\x1f\x7f]"
_ARCHIVE = r"[.](zip|tar|tgz|tar[.]gz|tar[.]zst)$"

Prefix = Annotated[
    str | None,
    Field(
        description=(
            "Folder of the bucket whose objects are fetched; its name is not part of their "
            "paths. Unset: the whole bucket."
        ),
        min_length=1,
        max_length=1024,
        json_schema_extra=rules(
            without(
                UNSAFE_PATH,
                "prefix must be a folder of the bucket, such as team/flows: it must not begin with "
                "'/' or contain '//', '.' or '..' as a segment, or control characters",
            )
        ),
    ),
]

Key = Annotated[
    str | None,
    Field(
        description=(
            "One archive that is fetched and unpacked, in place of a folder: a name that ends in "
            ".zip, .tar.gz, .tgz, .tar.zst or .tar."
        ),
        min_length=4,
        max_length=1024,
        json_schema_extra=rules(
            matching(_ARCHIVE, "key must end in .zip, .tar.gz, .tgz, .tar.zst or .tar"),
            without(
                UNSAFE_PATH,
                "key must be the name of an object, such as releases/flows.tar.gz: it must not "
                "begin with '/' or contain '//', '.' or '..' as a segment, or control characters",
            ),
        ),
    ),
]

StripComponents = Annotated[
    int | None,
    Field(
        description=(
            "How many leading folders are dropped from the paths in the archive of key, as "
            "archives of GitHub and GitLab have one. Unset: none."
        ),
        ge=0,
        le=32,
        json_schema_extra={"format": "int32"},
    ),
]


def strip_needs_key() -> Rule:
    """Build the rule that only archives have folders to strip."""
    return Rule(
        cel="!has(self.stripComponents) || has(self.key)",
        message="stripComponents is about the archive that key names, and key is not set",
        check=lambda source: "stripComponents" not in source or "key" in source,
        field="stripComponents",
    )


def _rules(owner: str) -> dict[str, Any]:
    return rules(at_most_one(owner, "prefix", "key"), strip_needs_key(), encrypted("endpoint"))


def _endpoint(pattern: str, form: str) -> dict[str, Any]:
    return rules(
        matching(
            pattern,
            f"endpoint must be https://{form} or http://{form}, in lower case"
            + ("" if "/" in form else " and without a path"),
        ),
        no_credentials("endpoint"),
    )


class S3Source(Model):
    """Objects of an S3 bucket, at Amazon or any compatible server."""

    model_config = ConfigDict(json_schema_extra=_rules("s3"))

    bucket: str = Field(
        description="Name of the bucket.", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$"
    )
    prefix: Prefix = None
    key: Key = None
    strip_components: StripComponents = None
    endpoint: str | None = Field(
        default=None,
        description="URL of an S3-compatible server. Unset: Amazon S3.",
        min_length=8,
        max_length=1024,
        json_schema_extra=_endpoint(_ENDPOINT, "host[:port]"),
    )
    region: str | None = Field(
        default=None,
        description="Region of the bucket. Unset: us-east-1.",
        pattern=r"^[A-Za-z0-9-]{1,64}$",
    )
    secret_ref: LocalObjectReference | None = Field(
        default=None,
        description=(
            "Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN if there "
            "is one, and ca.crt for a private certificate authority. Unset: the bucket is "
            "public, or the Pod's ServiceAccount may read it."
        ),
    )
    insecure: Insecure = None

    def summary(self) -> str:
        """Return what is fetched, for people."""
        return f"s3://{self.bucket}/{self.key or self.prefix or ''}"


class GCSSource(Model):
    """Objects of a bucket of Google Cloud Storage."""

    model_config = ConfigDict(json_schema_extra=_rules("gcs"))

    bucket: str = Field(
        description="Name of the bucket.", pattern=r"^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$"
    )
    prefix: Prefix = None
    key: Key = None
    strip_components: StripComponents = None
    endpoint: str | None = Field(
        default=None,
        description="URL of a compatible server, such as an emulator. Unset: Google's.",
        min_length=8,
        max_length=1024,
        json_schema_extra=_endpoint(_ENDPOINT, "host[:port]"),
    )
    secret_ref: LocalObjectReference | None = Field(
        default=None,
        description=(
            "Secret with service-account.json, the key of a service account, and ca.crt for a "
            "private certificate authority. Unset: the bucket is public, or the Pod's "
            "ServiceAccount may read it by workload identity."
        ),
    )
    insecure: Insecure = None

    def summary(self) -> str:
        """Return what is fetched, for people."""
        return f"gs://{self.bucket}/{self.key or self.prefix or ''}"


class AzureSource(Model):
    """Blobs of a container of Azure Blob Storage."""

    model_config = ConfigDict(json_schema_extra=_rules("azure"))

    account: str = Field(description="Name of the storage account.", pattern=r"^[a-z0-9]{3,24}$")
    container: str = Field(
        description="Name of the container.",
        max_length=63,
        pattern=r"^(\x24root|\x24web|[a-z0-9](-?[a-z0-9]){2,62})$",
    )
    prefix: Prefix = None
    key: Key = None
    strip_components: StripComponents = None
    endpoint: str | None = Field(
        default=None,
        description=(
            "URL of the account where it is not https://ACCOUNT.blob.core.windows.net: another "
            "cloud, or an emulator, which has the account as a path."
        ),
        min_length=8,
        max_length=1024,
        json_schema_extra=_endpoint(_ENDPOINT_WITH_PATH, "host[:port][/account]"),
    )
    secret_ref: LocalObjectReference | None = Field(
        default=None,
        description=(
            "Secret with one of AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_ACCOUNT_KEY, "
            "AZURE_STORAGE_SAS_TOKEN, or AZURE_TENANT_ID with AZURE_CLIENT_ID and "
            "AZURE_CLIENT_SECRET; and ca.crt for a private certificate authority. Unset: the "
            "container is public, or the Pod's ServiceAccount may read it by workload identity."
        ),
    )
    insecure: Insecure = None

    def summary(self) -> str:
        """Return what is fetched, for people."""
        return f"azure://{self.account}/{self.container}/{self.key or self.prefix or ''}"
