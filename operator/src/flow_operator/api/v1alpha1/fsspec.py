"""Everything that fsspec reads: the source for what has none of its own."""

from pydantic import ConfigDict, Field

from flow_operator.api.rules import Rule, matching, rules, without
from flow_operator.api.v1alpha1.bucket import Key, StripComponents, strip_needs_key
from flow_operator.api.v1alpha1.meta import LocalObjectReference, Model
from flow_operator.api.v1alpha1.pod import Parameters
from flow_operator.api.v1alpha1.transport import Insecure, encrypted

_SECRETS = (
    "account_key",
    "client_secret",
    "connection_string",
    "credential",
    "passwd",
    "password",
    "sas_token",
    "secret",
)
"""Names of options that are credentials in some file system."""


def _no_secrets() -> Rule:
    has = " || ".join(f"has(dyn(self).options.{name})" for name in _SECRETS)
    return Rule(
        cel=f"!has(dyn(self).options) || !({has})",
        message=(
            f"options must not contain credentials ({', '.join(_SECRETS)}): put them into key "
            "options.json of a Secret and name it in secretRef"
        ),
        check=lambda source: not set(_SECRETS) & set(source.get("options", {})),
        field="options",
        forbidden=True,
    )


class FsspecSource(Model):
    """A folder or an archive of a file system that fsspec knows."""

    model_config = ConfigDict(
        json_schema_extra=rules(strip_needs_key(), encrypted("url"), _no_secrets())
    )

    url: str = Field(
        description=(
            "URL of a folder, as fsspec takes it: s3://bucket/folder, gs://bucket/folder, "
            "abfs://container@account.dfs.core.windows.net/folder, and those of any file system "
            "that the fetcher's image has a package for."
        ),
        min_length=4,
        max_length=2048,
        json_schema_extra=rules(
            matching(
                r"^[a-z][a-z0-9+.-]*://[^/]",
                "url must be PROTOCOL://..., in lower case, such as gs://bucket/folder",
            ),
            without(
                r"^(file|local|memory|dir|reference|cached|simplecache|filecache|blockcache)://|::",
                "url must name a remote file system: nothing on the Pod itself, and no chain "
                "of them (::)",
                forbidden=True,
            ),
            without(
                r"^[^/]*//[^/@]*:[^/@]*@",
                "url must not contain a password: put it into key options.json of a Secret and "
                "name it in secretRef",
                forbidden=True,
            ),
            without(
                r"[^\x21-\x7e]|[?#\\]|/[.][.]?(/|$)",
                "url must be printable ASCII without a query, a fragment, a backslash, white "
                "space, and '.' or '..' as a segment: a token belongs into a Secret",
                forbidden=True,
            ),
        ),
    )
    key: Key = None
    strip_components: StripComponents = None
    options: Parameters | None = Field(
        default=None,
        description=(
            "Options of the file system, by the names that its Python class has for them, such "
            "as {anon: true} for a public S3 bucket. No credentials."
        ),
    )
    secret_ref: LocalObjectReference | None = Field(
        default=None,
        description=(
            "Secret with options.json, an object of further options, among them credentials; or "
            "with the keys that the sources s3, gcs and azure take, for the same clouds. Unset: "
            "public, or the identity of the Pod's ServiceAccount."
        ),
    )
    insecure: Insecure = None

    def summary(self) -> str:
        """Return what is fetched, for people."""
        return f"{self.url.rstrip('/')}/{self.key}" if self.key else self.url
