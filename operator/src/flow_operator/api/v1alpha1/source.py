"""Where code comes from: a git repository, a bucket, or whatever fsspec reads."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from flow_operator.api.rules import (
    Rule,
    at_most_one,
    exactly_one,
    matches,
    matching,
    rules,
    without,
)
from flow_operator.api.v1alpha1.bucket import UNSAFE_PATH, AzureSource, GCSSource, S3Source
from flow_operator.api.v1alpha1.fsspec import FsspecSource
from flow_operator.api.v1alpha1.meta import LocalObjectReference, Model
from flow_operator.api.v1alpha1.transport import HOST, HOST_NAME, Insecure, encrypted

_REF_REFUSED = r"[\x00-\x20\x7f~^:?*\[\\]|[.][.]|@[{]|//|^[-/]|/$|[.]$|(^|/)[.]|[.]lock(/|$)|^@$"
_USER = "[A-Za-z0-9_][A-Za-z0-9_.-]*"
_GIT_URL = rf"^https?://([^/]*@)?{HOST}(/|$)|^ssh://([^/]*@)?{HOST}/[^/]|^{_USER}@{HOST_NAME}:[^-:]"
_CREDENTIALS = (
    # Over SSH a user is no credential, and nearly always `git`.
    r"^https?:[^/]*//[^/]*@|^[^/]*//[^/]*@[^/]*@|^ssh://([^/]*:[^/]*@|@|-)|^[^/@]*:[^/@]*@"
)
_COMMIT = r"^([0-9a-f]{40}|[0-9a-f]{64})$"


def _reference_rule(field: str) -> Rule:
    return without(
        _REF_REFUSED,
        f"{field} is not a name that git allows: it must not begin with '-' or '/', end with '/', "
        "'.' or '.lock', or contain '..', '//', '@{', '/.', white space, control characters or "
        "any of ~ ^ : ? * [ \\",
    )


class GitRef(Model):
    """Which commit of a git repository; nothing set is the remote's HEAD."""

    model_config = ConfigDict(
        json_schema_extra=rules(at_most_one("ref", "branch", "tag", "commit", "name"))
    )

    branch: str | None = Field(
        default=None,
        description="Branch whose newest commit is run, without refs/heads/.",
        min_length=1,
        max_length=255,
        json_schema_extra=rules(_reference_rule("branch")),
    )
    tag: str | None = Field(
        default=None,
        description="Tag to run, without refs/tags/; an annotated tag is peeled to its commit.",
        min_length=1,
        max_length=255,
        json_schema_extra=rules(_reference_rule("tag")),
    )
    commit: str | None = Field(
        default=None,
        description="Full commit SHA to run, 40 or 64 lower-case hex digits.",
        max_length=64,
        json_schema_extra=rules(
            matching(
                _COMMIT,
                "commit must be a full SHA of 40 or 64 lower-case hex digits; a short one could "
                "come to name another commit",
            )
        ),
    )
    name: str | None = Field(
        default=None,
        description="Full name of a reference, such as refs/pull/7/head.",
        min_length=6,
        max_length=255,
        json_schema_extra=rules(
            matching("^refs/", "name must be a full reference that begins with refs/"),
            _reference_rule("name"),
        ),
    )


Directory = Annotated[
    str,
    Field(
        min_length=1,
        max_length=255,
        json_schema_extra=rules(
            without(
                UNSAFE_PATH + "|/$",
                "sparseCheckout takes directories of the repository, such as team/flows: they "
                "must not begin or end with '/' or contain '//', '.' or '..' as a segment, or "
                "control characters",
            )
        ),
    ),
]


def _ssh_needs_secret() -> Rule:
    """Build the rule that nobody is reached over SSH without a key."""
    ssh = "^ssh://|^[^/]*@"
    return Rule(
        cel=f"!self.url.matches(r'{ssh}') || has(self.secretRef)",
        message=(
            "secretRef is needed with an SSH url: a Secret with the keys identity and known_hosts"
        ),
        check=lambda source: not matches(ssh, source.get("url", "")) or "secretRef" in source,
        field="secretRef",
    )


class GitSource(Model):
    """A git repository over HTTP, HTTPS or SSH."""

    model_config = ConfigDict(json_schema_extra=rules(encrypted("url"), _ssh_needs_secret()))

    url: str = Field(
        description=(
            "URL of the repository: https://, http:// or ssh://user@host/path, or user@host:path "
            "as git takes it. Credentials do not belong here but in the Secret that secretRef "
            "names."
        ),
        min_length=5,
        max_length=2048,
        json_schema_extra=rules(
            matching(
                _GIT_URL,
                "url must begin with https://, http:// or ssh://, in lower case, and name a host, "
                "such as https://git.example.com/team/repository.git, or be like "
                "git@git.example.com:team/repository.git",
            ),
            without(
                _CREDENTIALS,
                "url must not contain credentials (user@ or user:password@): put them "
                "into a Secret and name it in secretRef",
                forbidden=True,
            ),
            without(
                r"[^\x21-\x7e]|[?#\\]",
                "url must be printable ASCII without a query, a fragment, a backslash or white "
                "space: a token belongs into a Secret that secretRef names",
                forbidden=True,
            ),
        ),
    )
    ref: GitRef | None = Field(
        default=None,
        description="What to run: a branch, tag, commit or reference. Unset: the remote's HEAD.",
    )
    secret_ref: LocalObjectReference | None = Field(
        default=None,
        description=(
            "Secret with the credentials: username and password, or token, or bearerToken; and "
            "ca.crt for a private certificate authority. Over SSH: identity, known_hosts, and "
            "password if the key has a passphrase. Unset: the repository is public."
        ),
    )
    provider: Literal["github", "gitlab", "bitbucket", "generic"] | None = Field(
        default=None,
        description=(
            "Kind of server, for the user name that goes with a bare token. Unset: guessed from "
            "the host name."
        ),
    )
    insecure: Insecure = None
    sparse_checkout: list[Directory] | None = Field(
        default=None,
        description=(
            "Directories of the repository that are fetched, and nothing else; on most servers "
            "only their files travel. Unset: the whole repository."
        ),
        min_length=1,
        max_length=32,
    )

    def summary(self) -> str:
        """Return the repository and what of it is run, for people."""
        ref = self.ref or GitRef()
        name = ref.branch or ref.tag or (ref.commit or "")[:12] or ref.name
        return f"{self.url}@{name}" if name else self.url


class Source(Model):
    """Exactly one place that code comes from."""

    model_config = ConfigDict(
        json_schema_extra=rules(exactly_one("source", "git", "s3", "gcs", "azure", "fsspec"))
    )

    git: GitSource | None = Field(default=None, description="A git repository.")
    s3: S3Source | None = Field(default=None, description="Objects or an archive in an S3 bucket.")
    gcs: GCSSource | None = Field(
        default=None, description="Objects or an archive in a bucket of Google Cloud Storage."
    )
    azure: AzureSource | None = Field(
        default=None, description="Objects or an archive in a container of Azure Blob Storage."
    )
    fsspec: FsspecSource | None = Field(
        default=None,
        description=(
            "A folder or an archive in any file system that fsspec knows; for what the other "
            "sources do not reach."
        ),
    )

    @property
    def chosen(self) -> GitSource | S3Source | GCSSource | AzureSource | FsspecSource | None:
        """Return the one that is set; None only where a newer release wrote the object."""
        return self.git or self.s3 or self.gcs or self.azure or self.fsspec

    @property
    def kind(self) -> str:
        """Return the name of the field that is set."""
        return next((name for name in type(self).model_fields if getattr(self, name)), "")

    def summary(self) -> str:
        """Return the source in one short line, for people."""
        return self.chosen.summary() if self.chosen else ""

    def secret_name(self) -> str | None:
        """Return the name of the Secret that the source asks for, if it does."""
        reference = self.chosen.secret_ref if self.chosen else None
        return reference.name if reference else None
