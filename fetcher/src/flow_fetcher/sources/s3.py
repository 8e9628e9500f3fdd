"""Amazon S3 and everything that speaks its protocol, through obstore."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flow_fetcher import __version__
from flow_fetcher.credentials import Credentials
from flow_fetcher.errors import (
    AuthenticationFailedError,
    FetchError,
    RevisionChangedError,
)
from flow_fetcher.fields import Fields, invalid
from flow_fetcher.plan import Plan
from flow_fetcher.sources import Fetch, Source
from flow_fetcher.sources.s3_errors import explain

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config, S3Store

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_REVISION = re.compile(r"sha256:[0-9a-f]{64}")
_AMBIENT = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)
"""What a ServiceAccount's identity (IRSA, EKS Pod Identity) leaves in the environment."""


@dataclass(frozen=True)
class S3Source:
    """One prefix of one bucket, as the plan describes it."""

    bucket: str
    prefix: str
    endpoint: str
    region: str
    insecure: bool
    revision: str | None

    wanted_keys = (
        "keys `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, for temporary ones also "
        "`AWS_SESSION_TOKEN`; `ca.crt` for a private certificate authority"
    )

    @property
    def url(self) -> str:
        """What to call it in messages."""
        where = f" at {self.endpoint}" if self.endpoint else ""
        return f"s3://{self.bucket}/{self.prefix}{where}"

    def fetch(self, fetch: Fetch) -> str:
        """Write every object under the prefix and return the digest over them.

        Raises:
            FetchError: It cannot be done.
        """
        from flow_fetcher.sources.objects import Download

        fetch.credentials.require(
            self.wanted_keys, ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ("ca.crt",)
        )
        store = self._open(fetch.credentials, fetch)
        download = Download(store, self.prefix, url=self.url, fetch=fetch, explain=self._explain)
        revision = download.run()
        if self.revision and revision != self.revision:
            raise RevisionChangedError(
                f"{self.url} has changed since the first attempt of this run: "
                f"it was {self.revision}, it is {revision}",
                remedy="Start a new run; upload each version under a prefix of its own to keep "
                "retries possible.",
            )
        fetch.report.revision = revision
        return revision

    def _open(self, credentials: Credentials, fetch: Fetch) -> S3Store:
        from obstore.store import S3Store

        config: S3Config = {"region": self.region or os.environ.get("AWS_REGION") or "us-east-1"}
        if self.endpoint:
            config["endpoint"] = self.endpoint
        config.update(_identity(credentials))
        if "access_key_id" in config:
            how = "with keys"
        elif config.get("skip_signature"):
            how = "without credentials"
        else:
            how = "with the identity of the ServiceAccount"
        fetch.log.info(f"reading {self.url} {how}")
        authority = credentials.get("ca.crt")
        client = _client(authority, allow_http=self.endpoint.startswith("http://"))
        try:
            return S3Store(self.bucket, config=config, client_options=client, retry_config=_retry())
        except ValueError as error:
            if authority and "certificate" in str(error):
                raise AuthenticationFailedError(
                    f"ca.crt of Secret {credentials.secret_name} cannot be used: {error}",
                    remedy="Store the authority's certificate in PEM.",
                ) from error
            raise

    def _explain(self, error: Exception, doing: str) -> FetchError:
        """What an error of obstore means for the user."""
        return explain(error, doing, self.region)


def open_source(plan: Plan) -> Source:
    """The bucket that the plan names.

    Raises:
        InvalidPlanError: A field has a wrong value.
    """
    fields = plan.source
    bucket = fields.text("bucket")
    if not _BUCKET.fullmatch(bucket):
        raise invalid(fields.name("bucket"), f"{bucket!r} is no name of a bucket")
    insecure = fields.flag("insecure")
    endpoint = _endpoint(fields, plan.secret_name is not None and not insecure)
    if plan.revision and not _REVISION.fullmatch(plan.revision):
        raise invalid("revision", f"{plan.revision!r} must be sha256: and 64 hex digits")
    return S3Source(
        bucket=bucket,
        prefix=_prefix(fields),
        endpoint=endpoint,
        region=fields.optional_text("region"),
        insecure=insecure,
        revision=plan.revision,
    )


def _identity(credentials: Credentials) -> S3Config:
    """Keys, or nothing where the environment has an identity, or no signature at all."""
    key, secret = credentials.line("AWS_ACCESS_KEY_ID"), credentials.line("AWS_SECRET_ACCESS_KEY")
    if key and secret:
        keys: S3Config = {"access_key_id": key, "secret_access_key": secret}
        token = credentials.line("AWS_SESSION_TOKEN")
        if token:
            keys["session_token"] = token
        return keys
    if any(os.environ.get(name) for name in _AMBIENT):
        return {}
    return {"skip_signature": True}


def _client(authority: str | None, *, allow_http: bool) -> ClientConfig:
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


def _retry() -> RetryConfig:
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


def _endpoint(fields: Fields, secure: bool) -> str:
    text = fields.optional_text("endpoint").rstrip("/")
    if not text:
        return ""
    name = fields.name("endpoint")
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise invalid(name, "must begin with https:// or http:// and name a host")
    if "@" in parts.netloc:
        raise invalid(name, "must not hold a user name or password: use secretRef")
    if parts.query or parts.fragment:
        raise invalid(name, "must have neither query nor fragment")
    if parts.scheme == "http" and secure:
        raise invalid(name, "sends credentials over plain HTTP: use https:// or insecure: true")
    return text


def _prefix(fields: Fields) -> str:
    text = fields.optional_text("prefix").strip("/")
    parts = text.split("/") if text else []
    if any(part in ("", ".", "..") for part in parts):
        raise invalid(fields.name("prefix"), f"{text!r} has an empty component, '.' or '..'")
    return text
