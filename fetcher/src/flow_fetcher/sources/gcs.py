"""Google Cloud Storage, through obstore."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow_fetcher.credentials import Credentials
from flow_fetcher.errors import AuthenticationFailedError, FetchError
from flow_fetcher.fields import invalid
from flow_fetcher.plan import Plan
from flow_fetcher.sources import Fetch
from flow_fetcher.sources.bucket import BucketSource, read_content, read_endpoint
from flow_fetcher.sources.store_errors import Words, explain

if TYPE_CHECKING:
    from obstore.store import GCSConfig, GCSCredential, ObjectStore

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_KEYS = ("service-account.json", "serviceaccount")
_AMBIENT = ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT")
_WORDS = Words(
    access="Check that the service account in the Secret of secretRef, or the one that "
    "serviceAccountName stands for, has the role Storage Object Viewer on the bucket "
    "(storage.objects.list, storage.objects.get).",
)
_METADATA_TRIES = 3
POD_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
"""Mounted when the deployment names a ServiceAccount, and so may have an identity."""


class GCSSource(BucketSource):
    """One bucket, as the plan describes it."""

    bucket: str

    wanted_keys = (
        "key `service-account.json`, the key of a service account as Google Cloud gives it; "
        "`ca.crt` for a private certificate authority"
    )

    @property
    def url(self) -> str:
        """What to call it in messages."""
        where = f" at {self.endpoint}" if self.endpoint else ""
        return f"gs://{self.bucket}/{self.content.path}{where}"

    def open(self, fetch: Fetch) -> ObjectStore:
        """The bucket, with a service account's key, the Pod's identity or without a token."""
        from obstore.store import GCSStore

        credentials = fetch.credentials
        credentials.require(self.wanted_keys, *((key,) for key in _KEYS), ("ca.crt",))
        config: GCSConfig = {"base_url": self.endpoint} if self.endpoint else {}
        provider: Callable[[], GCSCredential] | None = None
        how = "without credentials"
        if (account := service_account(credentials)) is not None:
            config["service_account_key"] = json.dumps(account)
            how = f"as {account['client_email']}"
        elif any(os.environ.get(name) for name in _AMBIENT):
            how = "with the application's default credentials"
        elif (os.environ.get("GCE_METADATA_HOST") or POD_TOKEN.exists()) and _identity():
            provider = metadata_token
            how = "with the identity of the ServiceAccount"
        else:
            config["skip_signature"] = True
        fetch.log.info(f"reading {self.url} {how}")
        store: ObjectStore = self.make(
            credentials, GCSStore, self.bucket, config=config, credential_provider=provider
        )
        return store

    def explain(self, error: Exception, doing: str) -> FetchError:
        """What an error of obstore means for the user."""
        if "service account" in (text := str(error)) or "credential error" in text:
            return AuthenticationFailedError(
                f"cannot {doing}: {text.splitlines()[0]}", remedy=_WORDS.access
            )
        return explain(error, doing, _WORDS)


def open_source(plan: Plan) -> GCSSource:
    """The bucket that the plan names.

    Raises:
        InvalidPlanError: A field has a wrong value.
    """
    fields = plan.source
    bucket = fields.text("bucket")
    if not _BUCKET.fullmatch(bucket):
        raise invalid(fields.name("bucket"), f"{bucket!r} is no name of a bucket")
    return GCSSource(content=read_content(plan), endpoint=read_endpoint(plan), bucket=bucket)


def service_account(credentials: Credentials) -> dict[str, Any] | None:
    """The service account's key of the Secret, if it has one.

    Raises:
        AuthenticationFailedError: It is something else.
    """
    key = next((key for key in _KEYS if credentials.has(key)), None)
    if key is None:
        return None
    try:
        account = json.loads(credentials.get(key) or "")
    except (ValueError, RecursionError):
        account = None
    kind = account.get("type") if isinstance(account, dict) else None
    fields = ("client_email", "private_key", "private_key_id")
    if kind == "service_account" and all(isinstance(account.get(name), str) for name in fields):
        # Nothing else of it, such as another address, shall have an effect.
        return {name: account[name] for name in ("type", *fields)}
    found = f"its type is {kind!r}" if isinstance(kind, str) else "it is not"
    raise AuthenticationFailedError(
        f"key {key} of Secret {credentials.secret_name} must be the JSON key of a service "
        f"account, and {found}",
        remedy="Make one with `gcloud iam service-accounts keys create`, and store the file as it "
        "is.",
    )


def metadata_token() -> GCSCredential:
    """An access token from the metadata server, which is how workload identity gives one.

    Raises:
        OSError, ValueError: There is no such server, or it has no token for this Pod.
    """
    import http.client
    from datetime import UTC, datetime, timedelta

    host = os.environ.get("GCE_METADATA_HOST") or "169.254.169.254"
    connection = http.client.HTTPConnection(host, timeout=1)
    try:
        path = "/computeMetadata/v1/instance/service-accounts/default/token"
        connection.request("GET", path, headers={"Metadata-Flavor": "Google"})
        response = connection.getresponse()
        answer = response.read(1 << 16)
        if response.status != 200:
            raise ValueError(f"the metadata server answers {response.status}")
        token = json.loads(answer)
        lasts = timedelta(seconds=max(0, int(token["expires_in"]) - 60))
        return {"token": str(token["access_token"]), "expires_at": datetime.now(UTC) + lasts}
    finally:
        connection.close()


def _identity() -> bool:
    """Whether the Pod has one; in its first seconds a Pod's server may not answer yet."""
    import http.client
    import time

    for left in reversed(range(_METADATA_TRIES)):
        try:
            metadata_token()
        except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
            time.sleep(0.5 if left else 0)
        else:
            return True
    return False
