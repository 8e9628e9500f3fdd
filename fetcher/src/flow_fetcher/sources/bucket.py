"""What the sources on obstore have in common: one bucket, and in it a prefix or one archive.

Each of them says how its store is opened and what to tell the user about its errors; everything
else is here and in `objects`.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from flow_fetcher import __version__
from flow_fetcher.credentials import Credentials
from flow_fetcher.errors import AuthenticationFailedError, FetchError, RevisionChangedError
from flow_fetcher.fields import Fields, invalid
from flow_fetcher.plan import Plan
from flow_fetcher.record import Record
from flow_fetcher.sources import Fetch

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

_REVISION = re.compile(r"sha256:[0-9a-f]{64}")
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".zip")
"""What the key of an archive ends in."""
_MOST_STRIPPED = 32
_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


class Content(Record):
    """What of a bucket is fetched: everything under a prefix, or what is in one archive.

    Attributes:
        prefix: A directory, without slashes around; empty for all of the bucket.
        key: The archive, as a whole; empty for none.
        strip: How many leading directories of the archive's paths are dropped.
        revision: What an earlier attempt fetched, which this one must find again.
    """

    prefix: str
    key: str
    strip: int
    revision: str | None

    @property
    def path(self) -> str:
        """The prefix or the key."""
        return self.key or self.prefix


class BucketSource(Record, ABC):
    """One bucket or container, as the plan describes it."""

    content: Content
    endpoint: str

    wanted_keys: ClassVar[str]

    @property
    @abstractmethod
    def url(self) -> str:
        """What to call it in messages."""

    @abstractmethod
    def open(self, fetch: Fetch) -> ObjectStore:
        """The store, with the credentials that there are."""

    @abstractmethod
    def explain(self, error: Exception, doing: str) -> FetchError:
        """What an error of obstore means for the user."""

    def fetch(self, fetch: Fetch) -> str:
        """Write the tree and return its revision.

        Raises:
            FetchError: It cannot be done.
        """
        store = self.open(fetch)
        if self.content.key:
            from flow_fetcher.archives import unpack
            from flow_fetcher.sources.single import open_object

            blob = open_object(store, self.content.key, self.url, fetch, self.explain)
            revision = unpack(blob, fetch, strip=self.content.strip)
        else:
            from flow_fetcher.sources.objects import Download

            download = Download(
                store, self.content.prefix, url=self.url, fetch=fetch, explain=self.explain
            )
            revision = download.run()
        pinned(self.url, revision, self.content.revision)
        fetch.report.revision = revision
        return revision

    def make(self, credentials: Credentials, make: Any, name: str, **options: Any) -> Any:
        """Call the constructor of a store with the options that are common to all.

        Args:
            credentials: May have a certificate authority.
            make: The constructor.
            name: The bucket's name.
            options: What only this kind of store takes.

        Raises:
            AuthenticationFailedError: A credential or certificate has the wrong form.
        """
        authority = credentials.get("ca.crt")
        # Two threads move bytes as fast as any network here; by default it were as many as the
        # node has cores, each with memory of its own.
        os.environ.setdefault("TOKIO_WORKER_THREADS", "2")
        _read_authorities_once()
        endpoint = options["config"].get("endpoint") or self.endpoint
        client = client_options(authority, allow_http=endpoint.startswith("http://"))
        try:
            return make(name, client_options=client, retry_config=retry_config(), **options)
        except Exception as error:
            if authority and "certificate" in str(error):
                raise AuthenticationFailedError(
                    f"ca.crt of Secret {credentials.secret_name} cannot be used: {error}",
                    remedy="Store the authority's certificate in PEM.",
                ) from error
            raise self.explain(error, f"open {self.url}") from error


def pinned(url: str, revision: str, wanted: str | None) -> None:
    """Make sure that a retry fetched what the first attempt did.

    Raises:
        RevisionChangedError: It is something else.
    """
    if wanted and revision != wanted:
        raise RevisionChangedError(
            f"{url} has changed since the first attempt of this run: "
            f"it was {wanted}, it is {revision}",
            remedy="Start a new run; upload each version under a name of its own to keep "
            "retries possible.",
        )


def read_content(plan: Plan) -> Content:
    """The prefix or archive that the plan names.

    Raises:
        InvalidPlanError: A field has a wrong value.
    """
    fields = plan.source
    if plan.revision and not _REVISION.fullmatch(plan.revision):
        raise invalid("revision", f"{plan.revision!r} must be sha256: and 64 hex digits")
    content = Content(
        prefix=_path(fields, "prefix"),
        key=_path(fields, "key"),
        strip=fields.number("stripComponents", low=0, high=_MOST_STRIPPED, default=0),
        revision=plan.revision,
    )
    if content.key and content.prefix:
        raise invalid(fields.name("key"), "cannot be used together with prefix")
    if content.key and not content.key.endswith(ARCHIVES):
        raise invalid(fields.name("key"), f"must name an archive: {', '.join(ARCHIVES)}")
    if content.strip and not content.key:
        raise invalid(fields.name("stripComponents"), "needs key")
    return content


def read_endpoint(plan: Plan, *, with_path: bool = False) -> str:
    """The store's address without a slash at its end, or nothing for the cloud's own.

    Raises:
        InvalidPlanError: It is no address, or one that credentials must not go to.
    """
    fields = plan.source
    text = fields.optional_text("endpoint").rstrip("/")
    if not text:
        return ""
    name = fields.name("endpoint")
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  raises for a port that is no number
    except ValueError as error:
        raise invalid(name, f"is no URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise invalid(name, "must begin with https:// or http:// and name a host")
    if "@" in parts.netloc:
        raise invalid(name, "must not hold a user name or password: use secretRef")
    if parts.query or parts.fragment or (parts.path and not with_path):
        raise invalid(name, "must have neither path, query nor fragment")
    if parts.scheme == "http" and plan.secret_name is not None and not fields.flag("insecure"):
        raise invalid(name, "sends credentials over plain HTTP: use https:// or insecure: true")
    return text


def _read_authorities_once() -> None:
    """Spare obstore 10 ms of every fetch: Debian has each authority in a bundle, and in a file.

    Both are read by default; what the environment names is read instead.
    """
    named = "SSL_CERT_FILE" in os.environ or "SSL_CERT_DIR" in os.environ
    if not named and os.path.isfile(_AUTHORITIES):
        os.environ.update(SSL_CERT_FILE=_AUTHORITIES, SSL_CERT_DIR="/nonexistent")


def client_options(authority: str | None, *, allow_http: bool) -> ClientConfig:
    """How obstore speaks HTTP."""
    options: ClientConfig = {
        "allow_http": allow_http,
        "connect_timeout": "5s",
        "read_timeout": "20s",
        # For a request as a whole; objects may be large, and read_timeout finds what stands still.
        "timeout": "12h",
        "user_agent": f"flow-fetcher/{__version__}",
    }
    if authority:
        options["root_certificate"] = authority
    return options


def retry_config() -> RetryConfig:
    """How often obstore tries again."""
    from datetime import timedelta

    return {
        "max_retries": 6,
        "retry_timeout": timedelta(seconds=15),
        "backoff": {
            "init_backoff": timedelta(milliseconds=200),
            "max_backoff": timedelta(seconds=4),
            "base": 2,
        },
    }


def _path(fields: Fields, key: str) -> str:
    text = fields.optional_text(key).strip("/")
    parts = text.split("/") if text else []
    if any(part in ("", ".", "..") for part in parts):
        raise invalid(fields.name(key), f"{text!r} has an empty component, '.' or '..'")
    return text
