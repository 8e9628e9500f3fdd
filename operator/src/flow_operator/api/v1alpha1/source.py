"""Where code comes from: one model a kind of source, with the rules for each."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from flow_operator.api.v1alpha1.meta import LocalObjectReference, Model, cel

_REF = r"^[^\x00-\x20\x7f~^:?*\[\\]+$"

Insecure = Annotated[
    bool,
    Field(
        description=(
            "Allows sending the credentials of secretRef over plain HTTP, where anybody on the "
            "way can read them."
        )
    ),
]


class GitRef(Model):
    """Which commit of a git repository; nothing set is the remote's HEAD."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "[has(self.branch), has(self.tag), has(self.commit), has(self.name)]"
                ".filter(x, x).size() <= 1",
                "ref takes at most one of branch, tag, commit, name",
            )
        )
    )

    branch: str | None = Field(
        default=None,
        description="Branch whose newest commit is run, without refs/heads/.",
        min_length=1,
        max_length=255,
        pattern=_REF,
    )
    tag: str | None = Field(
        default=None,
        description="Tag to run, without refs/tags/; an annotated tag is peeled to its commit.",
        min_length=1,
        max_length=255,
        pattern=_REF,
    )
    commit: str | None = Field(
        default=None,
        description="Full commit SHA to run, 40 or 64 lower-case hex digits.",
        pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$",
    )
    name: str | None = Field(
        default=None,
        description="Full name of a reference, such as refs/pull/7/head.",
        min_length=6,
        max_length=255,
        pattern=r"^refs/[^\x00-\x20\x7f~^:?*\[\\]+$",
    )


class GitSource(Model):
    """A git repository over HTTP or HTTPS."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!has(self.secretRef) || self.url.startsWith('https://') || "
                "(has(self.insecure) && self.insecure)",
                "url is plain HTTP and secretRef is set: the credentials could be read on the "
                "way. Use https://, or set insecure: true",
            )
        )
    )

    url: str = Field(
        description=(
            "URL of the repository, https:// or http://. Credentials do not belong here but in "
            "the Secret that secretRef names."
        ),
        min_length=9,
        max_length=2048,
        json_schema_extra=cel(
            (
                "self.matches('^https?://[^/?#\\\\s]')",
                "url must start with https:// or http:// and name a host",
            ),
            (
                "!self.matches('^[^/]*//[^/?#]*@')",
                "url must not contain credentials (user@ or user:password@): put them into a "
                "Secret and name it in secretRef",
            ),
            (
                "!self.matches('[?#\\\\s\\\\\\\\]')",
                "url must not contain a query, a fragment, a backslash or white space",
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
    insecure: Insecure | None = None


class S3Source(Model):
    """The objects below a prefix of an S3 bucket, at Amazon or any compatible server."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!has(self.secretRef) || !has(self.endpoint) || "
                "self.endpoint.startsWith('https://') || (has(self.insecure) && self.insecure)",
                "endpoint is plain HTTP and secretRef is set: what is sent could be read on the "
                "way. Use https://, or set insecure: true",
            )
        )
    )

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
        json_schema_extra=cel(
            (
                "!self.startsWith('/') && !self.matches('(^|/)[.][.]?(/|$)') "
                "&& !self.contains('//')",
                "prefix must be a relative folder without '.', '..' or '//'",
            )
        ),
    )
    endpoint: str | None = Field(
        default=None,
        description="URL of an S3-compatible server. Unset: Amazon S3.",
        min_length=8,
        max_length=1024,
        json_schema_extra=cel(
            (
                "self.matches('^https?://[^/?#\\\\s]+/?$')",
                "endpoint must be https://host[:port] or http://host[:port], without a path",
            ),
            (
                "!self.contains('@')",
                "endpoint must not contain credentials: put them into a Secret and name it in "
                "secretRef",
            ),
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
    insecure: Insecure | None = None


class Source(Model):
    """Exactly one place that code comes from."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "[has(self.git), has(self.s3)].filter(x, x).size() == 1",
                "source takes exactly one of git, s3",
            )
        )
    )

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
