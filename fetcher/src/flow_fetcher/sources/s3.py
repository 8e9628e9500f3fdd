"""Amazon S3 and everything that speaks its protocol, through obstore."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from flow_fetcher.credentials import Credentials
from flow_fetcher.errors import FetchError, SourceUnreachableError
from flow_fetcher.fields import invalid
from flow_fetcher.plan import Plan
from flow_fetcher.sources import Fetch
from flow_fetcher.sources.bucket import BucketSource, read_content, read_endpoint
from flow_fetcher.sources.store_errors import Words, code_of, explain, status_of

if TYPE_CHECKING:
    from obstore.store import ObjectStore, S3Config

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_HOST_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
"""Buckets that can be the first part of a host's name."""
_AMBIENT = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)
"""What a ServiceAccount's identity (IRSA, EKS Pod Identity) leaves in the environment."""
_WORDS = Words(
    access="Check the keys in the Secret of secretRef, and that they may list the bucket "
    "and read its objects (s3:ListBucket, s3:GetObject).",
    address="endpoint and region",
)
_WRONG_REGION = frozenset(
    {"AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException"}
)
_REGION = re.compile(r"<Region>([\w-]+)</Region>|expecting (?:&#34;|&quot;|\"|')?([\w-]+)")
_ENDPOINT = re.compile(r"<Endpoint>([\w.-]+)</Endpoint>")


class S3Source(BucketSource):
    """One bucket, as the plan describes it."""

    bucket: str
    region: str

    wanted_keys = (
        "keys `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, for temporary ones also "
        "`AWS_SESSION_TOKEN`; `ca.crt` for a private certificate authority"
    )

    @property
    def url(self) -> str:
        """What to call it in messages."""
        where = f" at {self.endpoint}" if self.endpoint else ""
        return f"s3://{self.bucket}/{self.content.path}{where}"

    def open(self, fetch: Fetch) -> ObjectStore:
        """The bucket, with keys, with the environment's identity or without a signature."""
        from obstore.store import S3Store

        fetch.credentials.require(
            self.wanted_keys, ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ("ca.crt",)
        )
        config: S3Config = {"region": self.region or os.environ.get("AWS_REGION") or "us-east-1"}
        if self.endpoint:
            config["endpoint"] = self.endpoint
        elif _HOST_LABEL.fullmatch(self.bucket) and not any(
            name.startswith("AWS_ENDPOINT") for name in os.environ
        ):
            # Amazon's own advice: a bucket has an address of its own, and many have no other.
            config["virtual_hosted_style_request"] = True
        config.update(_identity(fetch.credentials))
        if "access_key_id" in config:
            how = "with keys"
        elif config.get("skip_signature"):
            how = "without credentials"
        else:
            how = "with the identity of the ServiceAccount"
        fetch.log.info(f"reading {self.url} {how}")
        store: ObjectStore = self.make(fetch.credentials, S3Store, self.bucket, config=config)
        return store

    def explain(self, error: Exception, doing: str) -> FetchError:
        """What an error of obstore means for the user."""
        explained = explain(error, doing, _WORDS)
        text = str(error)
        if isinstance(error, FetchError) or not (
            code_of(text) in _WRONG_REGION or status_of(text) == 301
        ):
            return explained
        return _wrong_region(explained.message, text, self.region)


def open_source(plan: Plan) -> S3Source:
    """The bucket that the plan names.

    Raises:
        InvalidPlanError: A field has a wrong value.
    """
    fields = plan.source
    bucket = fields.text("bucket")
    if not _BUCKET.fullmatch(bucket):
        raise invalid(fields.name("bucket"), f"{bucket!r} is no name of a bucket")
    return S3Source(
        content=read_content(plan),
        endpoint=read_endpoint(plan),
        bucket=bucket,
        region=fields.optional_text("region"),
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


def _wrong_region(problem: str, text: str, region: str) -> FetchError:
    found = _REGION.search(text)
    right = (found.group(1) or found.group(2)) if found else ""
    endpoint = _ENDPOINT.search(text)
    hint = f"Set region: {right}." if right else "Set the region that the bucket lies in."
    if not right and endpoint:
        hint = f"Set the region that the bucket lies in: its endpoint is {endpoint.group(1)}."
    return SourceUnreachableError(
        f"{problem} (asked in region {region or 'us-east-1, the default'})", remedy=hint
    )
