"""Where code comes from: one model a kind of source, with the rules for each."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from flow_operator.api.rules import (
    Rule,
    at_most_one,
    exactly_one,
    matching,
    rules,
    without,
)
from flow_operator.api.v1alpha1.meta import LocalObjectReference, Model

_REF_REFUSED = r"[\x00-\x20\x7f~^:?*\[\\]|[.][.]|@[{]|//|^[-/]|/$|[.]$|(^|/)[.]|[.]lock(/|$)|^@$"
_HOST = r"([A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
_GIT_URL = rf"^https?://([^/]*@)?{_HOST}(/|$)"
_ENDPOINT = rf"^https?://([^/]*@)?{_HOST}/?$"
_COMMIT = r"^([0-9a-f]{40}|[0-9a-f]{64})$"

Insecure = Annotated[
    bool | None,
    Field(
        description=(
            "Allows sending the credentials of secretRef over plain HTTP, where anybody on the "
            "way can read them."
        )
    ),
]


def _reference_rule(field: str) -> Rule:
    return without(
        _REF_REFUSED,
        f"{field} is not a name that git allows: it must not begin with '-' or '/', end with '/', "
        "'.' or '.lock', or contain '..', '//', '@{', '/.', white space, control characters or "
        "any of ~ ^ : ? * [ \\",
    )


def _no_credentials(field: str) -> Rule:
    return without(
        r"^[^/]*//[^/]*@|^[^/]*@",
        f"{field} must not contain credentials (user@ or user:password@): put them into a Secret "
        "and name it in secretRef",
        forbidden=True,
    )


def _encrypted(field: str) -> Rule:
    def check(source: dict[str, Any]) -> bool:
        return (
            "secretRef" not in source
            or not source.get(field, "https://").startswith("http://")
            or source.get("insecure", False)
        )

    return Rule(
        cel=(
            f"!has(self.secretRef) || !has(self.{field}) || !self.{field}.startsWith('http://') "
            "|| (has(self.insecure) && self.insecure)"
        ),
        message=(
            f"{field} is plain HTTP and secretRef is set: the credentials could be read on the "
            "way. Use https://, or set insecure: true"
        ),
        check=check,
        field=field,
        forbidden=True,
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


class GitSource(Model):
    """A git repository over HTTP or HTTPS."""

    model_config = ConfigDict(json_schema_extra=rules(_encrypted("url")))

    url: str = Field(
        description=(
            "URL of the repository, https:// or http://. Credentials do not belong here but in "
            "the Secret that secretRef names."
        ),
        min_length=9,
        max_length=2048,
        json_schema_extra=rules(
            matching(
                _GIT_URL,
                "url must begin with https:// or http://, in lower case, and name a host, such as "
                "https://git.example.com/team/repository.git",
            ),
            _no_credentials("url"),
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
            "ca.crt for a private certificate authority. Unset: the repository is public."
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


class S3Source(Model):
    """The objects below a prefix of an S3 bucket, at Amazon or any compatible server."""

    model_config = ConfigDict(json_schema_extra=rules(_encrypted("endpoint")))

    bucket: str = Field(
        description="Name of the bucket.", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$"
    )
    prefix: str | None = Field(
        default=None,
        description=(
            "Folder of the bucket whose objects are fetched; its name is not part of their "
            "paths. Unset: the whole bucket."
        ),
        min_length=1,
        max_length=1024,
        json_schema_extra=rules(
            without(
                r"^/|//|(^|/)[.][.]?(/|$)|[\x00-\x1f\x7f]",
                "prefix must be a folder of the bucket, such as team/flows: it must not begin with "
                "'/' or contain '//', '.' or '..' as a segment, or control characters",
            )
        ),
    )
    endpoint: str | None = Field(
        default=None,
        description="URL of an S3-compatible server. Unset: Amazon S3.",
        min_length=8,
        max_length=1024,
        json_schema_extra=rules(
            matching(
                _ENDPOINT,
                "endpoint must be https://host[:port] or http://host[:port], in lower case and "
                "without a path",
            ),
            _no_credentials("endpoint"),
        ),
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


class Source(Model):
    """Exactly one place that code comes from."""

    model_config = ConfigDict(json_schema_extra=rules(exactly_one("source", "git", "s3")))

    git: GitSource | None = Field(default=None, description="A git repository.")
    s3: S3Source | None = Field(default=None, description="Objects in an S3 bucket.")

    def summary(self) -> str:
        """Return the source in one short line, for people."""
        if self.git:
            ref = self.git.ref or GitRef()
            name = ref.branch or ref.tag or (ref.commit or "")[:12] or ref.name
            return f"{self.git.url}@{name}" if name else self.git.url
        if self.s3:
            return f"s3://{self.s3.bucket}/{self.s3.prefix or ''}"
        return ""

    def secret_name(self) -> str | None:
        """Return the name of the Secret that the source asks for, if it does."""
        ref = (self.git and self.git.secret_ref) or (self.s3 and self.s3.secret_ref)
        return ref.name if ref else None
