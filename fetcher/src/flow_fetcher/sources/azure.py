"""Azure Blob Storage, through obstore."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from flow_fetcher.credentials import Credentials
from flow_fetcher.errors import AuthenticationFailedError, FetchError
from flow_fetcher.fields import invalid
from flow_fetcher.plan import Plan
from flow_fetcher.sources import Fetch
from flow_fetcher.sources.bucket import BucketSource, read_content, read_endpoint
from flow_fetcher.sources.store_errors import Words, explain

if TYPE_CHECKING:
    from obstore.store import AzureConfig, ObjectStore

_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_CONTAINER = re.compile(r"\$(root|web)|[a-z0-9](-?[a-z0-9]){2,62}")
CONNECTION = "AZURE_STORAGE_CONNECTION_STRING"
_ACCOUNT_KEYS = ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY", "accountKey")
_SAS = ("AZURE_STORAGE_SAS_TOKEN", "sasKey")
_PRINCIPALS = (
    ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"),
    ("tenantId", "clientId", "clientSecret"),
)
_AMBIENT = "AZURE_FEDERATED_TOKEN_FILE"
"""What Azure workload identity leaves in the environment, beside its client and tenant."""
_WORDS = Words(
    access="Check the key, token or principal in the Secret of secretRef, or the identity of "
    "serviceAccountName: it needs the role Storage Blob Data Reader on the container.",
    place="Correct the account and the container.",
    address="account and endpoint",
)


class AzureSource(BucketSource):
    """One container, as the plan describes it."""

    account: str
    container: str
    insecure: bool

    wanted_keys = (
        "one of: `AZURE_STORAGE_CONNECTION_STRING`; `AZURE_STORAGE_ACCOUNT_KEY`; "
        "`AZURE_STORAGE_SAS_TOKEN`; `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and "
        "`AZURE_CLIENT_SECRET`; `ca.crt` for a private certificate authority"
    )

    @property
    def url(self) -> str:
        """What to call it in messages."""
        where = f" at {self.endpoint}" if self.endpoint else ""
        return f"azure://{self.account}/{self.container}/{self.content.path}{where}"

    def open(self, fetch: Fetch) -> ObjectStore:
        """The container, with what the Secret has, the Pod's identity or without a signature."""
        from obstore.store import AzureStore

        credentials = fetch.credentials
        single = ((key,) for key in (CONNECTION, *_ACCOUNT_KEYS, *_SAS, "ca.crt"))
        credentials.require(self.wanted_keys, *single, *_PRINCIPALS)
        config: AzureConfig = {"account_name": self.account}
        if self.endpoint:
            config["endpoint"] = self.endpoint
        found = self._identity(credentials)
        if found:
            config.update(found)
            how = "with credentials"
        elif os.environ.get(_AMBIENT):
            how = "with the identity of the ServiceAccount"
        else:
            config["skip_signature"] = True
            how = "without credentials"
        fetch.log.info(f"reading {self.url} {how}")
        store: ObjectStore = self.make(credentials, AzureStore, self.container, config=config)
        return store

    def explain(self, error: Exception, doing: str) -> FetchError:
        """What an error of obstore means for the user."""
        text = str(error)
        if "Invalid Access Key" in text or "token request" in text.lower():
            return AuthenticationFailedError(
                f"cannot {doing}: {text.splitlines()[0].rpartition('error: ')[2]}",
                remedy=_WORDS.access,
            )
        return explain(error, doing, _WORDS)

    def _identity(self, credentials: Credentials) -> AzureConfig:
        """What signs the requests; empty for nothing."""
        text = credentials.line(CONNECTION)
        if text:
            return self._connection(text, credentials.secret_name or "")
        if key := _first(credentials, _ACCOUNT_KEYS):
            return {"account_key": key}
        if token := _first(credentials, _SAS):
            return {"sas_key": token.lstrip("?")}
        for tenant, client, secret in _PRINCIPALS:
            if credentials.has(tenant, client, secret):
                principal: AzureConfig = {
                    "tenant_id": credentials.line(tenant) or "",
                    "client_id": credentials.line(client) or "",
                    "client_secret": credentials.line(secret) or "",
                }
                return principal
        return {}

    def _connection(self, text: str, secret: str) -> AzureConfig:
        """What a connection string says; where the store is must be what the plan says."""
        parts = connection_parts(text)
        account = parts.get("accountname", self.account)
        if account != self.account:
            raise AuthenticationFailedError(
                f"{CONNECTION} of Secret {secret} is for account {account}, and the source names "
                f"{self.account}",
                remedy="Correct spec.source.azure.account, or the Secret.",
            )
        config: AzureConfig = {}
        where = parts.get("blobendpoint", "").rstrip("/")
        if where and not self.endpoint:
            if not where.lower().startswith("https://") and not self.insecure:
                raise AuthenticationFailedError(
                    f"{CONNECTION} of Secret {secret} sends credentials over plain HTTP",
                    remedy="Use a BlobEndpoint with https://, or set endpoint and insecure: true.",
                )
            config["endpoint"] = where
        elif suffix := parts.get("endpointsuffix") if not self.endpoint else None:
            config["endpoint"] = f"https://{self.account}.blob.{suffix}"
        if "accountkey" in parts:
            config["account_key"] = parts["accountkey"]
        elif "sharedaccesssignature" in parts:
            config["sas_key"] = parts["sharedaccesssignature"].lstrip("?")
        else:
            raise AuthenticationFailedError(
                f"{CONNECTION} of Secret {secret} has neither AccountKey nor SharedAccessSignature",
                remedy="Copy it as Azure shows it under Access keys.",
            )
        return config


def open_source(plan: Plan) -> AzureSource:
    """The container that the plan names.

    Raises:
        InvalidPlanError: A field has a wrong value.
    """
    fields = plan.source
    account, container = fields.text("account"), fields.text("container")
    if not _ACCOUNT.fullmatch(account):
        raise invalid(fields.name("account"), f"{account!r} is no name of a storage account")
    if not _CONTAINER.fullmatch(container):
        raise invalid(fields.name("container"), f"{container!r} is no name of a container")
    return AzureSource(
        content=read_content(plan),
        endpoint=read_endpoint(plan, with_path=True),
        account=account,
        container=container,
        insecure=fields.flag("insecure"),
    )


def connection_parts(text: str) -> dict[str, str]:
    """The parts of a connection string, by lower-case name."""
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}


def _first(credentials: Credentials, keys: tuple[str, ...]) -> str | None:
    return next((value for key in keys if (value := credentials.line(key))), None)
