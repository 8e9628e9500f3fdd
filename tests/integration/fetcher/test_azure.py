"""Fetching from a real server of Azure's blob protocol."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.fetcher.conftest import Fetcher
from tests.servers.authority import Authority
from tests.servers.azure import ACCOUNT, KEY, AzureServer
from tests.servers.entra import CLIENT, FEDERATED, SECRET, TENANT, Entra

KEYS = {"AZURE_STORAGE_ACCOUNT_KEY": KEY}
WRONG = base64.b64encode(b"w" * 64).decode()
TREE = {
    "flow.py": b"def main():\n    return 1\n",
    "sub/deep/data.bin": bytes(range(256)) * 40,
    "empty": b"",
    "sp ace+%41é.py": b"x = 1\n",
}


@pytest.fixture(scope="module", autouse=True)
def _filled(azure: AzureServer) -> None:
    for container in ("flows", "public"):
        azure.create_container(container, public=container == "public")
        for key, body in TREE.items():
            azure.put(container, f"o20/{key}", body)
        azure.put(container, "o2000/other.py", b"a sibling")


@pytest.fixture(scope="module")
def encrypted(authority: Authority) -> Iterator[AzureServer]:
    """A store that takes tokens, with one private container."""
    with AzureServer(authority=authority) as server:
        server.create_container("flows")
        server.put("flows", "a.py", b"1")
        yield server


def source(server: AzureServer, **fields: Any) -> dict[str, Any]:
    where = {"account": ACCOUNT, "container": "flows", "endpoint": server.url}
    return {"type": "azure", "azure": {**where, **fields}}


@pytest.mark.parametrize("key", ["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY", "accountKey"])
def test_account_key(fetcher: Fetcher, azure: AzureServer, key: str) -> None:
    """An account's key opens a private container; the sibling of the prefix stays away."""
    where = source(azure, prefix="o20", insecure=True)
    result = fetcher(where, secret={key: KEY}, entrypoint="flow.py:main")
    assert result.code == 0, result.log
    assert result.files() == TREE
    assert result.message["revision"].startswith("sha256:")


@pytest.mark.parametrize("question_mark", ["", "?"])
def test_shared_access_signature(fetcher: Fetcher, azure: AzureServer, question_mark: str) -> None:
    """A shared access signature does as well, with and without its question mark."""
    token = azure.sas("flows")
    where = source(azure, prefix="o20", insecure=True)
    result = fetcher(where, secret={"AZURE_STORAGE_SAS_TOKEN": question_mark + token})
    assert result.code == 0, result.log
    assert result.files() == TREE


@pytest.mark.parametrize("endpoint", [True, False])
def test_connection_string(fetcher: Fetcher, azure: AzureServer, endpoint: bool) -> None:
    """A connection string says where the store is, unless the deployment does."""
    where = source(azure, prefix="o20", insecure=True)
    if not endpoint:
        del where["azure"]["endpoint"]
    secret = {"AZURE_STORAGE_CONNECTION_STRING": azure.connection_string}
    result = fetcher(where, secret=secret)
    assert result.code == 0, result.log
    assert result.files() == TREE
    insecure = {**where["azure"], "insecure": False}
    refused = fetcher({"type": "azure", "azure": insecure}, secret={}, secretName="code-access")
    assert "insecure: true" in refused.text


def test_public(fetcher: Fetcher, azure: AzureServer) -> None:
    """A public container needs no Secret."""
    result = fetcher(source(azure, container="public", prefix="o20"))
    assert result.code == 0, result.log
    assert result.files() == TREE


def test_private_authority(fetcher: Fetcher, authority: Authority) -> None:
    """HTTPS with a private authority works with its certificate, and says so without."""
    with AzureServer(authority=authority) as server:
        server.create_container("flows")
        server.put("flows", "a.py", b"1")
        result = fetcher(source(server), secret=KEYS)
        assert result.reason == "SourceUnreachable"
        assert "`ca.crt`" in result.message["remedy"]
        result = fetcher(source(server), secret={"ca.crt": authority.pem}, volume="second")
        assert result.code == 0, result.log


@pytest.mark.parametrize(
    "keys",
    [
        ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"),
        ("tenantId", "clientId", "clientSecret"),
    ],
)
def test_service_principal(
    fetcher: Fetcher, authority: Authority, encrypted: AzureServer, keys: tuple[str, str, str]
) -> None:
    """A principal's secret is exchanged for a token, with which everything is read."""
    secret = dict(zip(keys, (TENANT, CLIENT, SECRET), strict=True))
    with Entra(authority) as entra:
        fetcher.environment["AZURE_AUTHORITY_HOST"] = entra.url
        result = fetcher(source(encrypted), secret={**secret, "ca.crt": authority.pem})
    assert result.code == 0, result.log
    assert set(result.files()) == {"a.py"}
    assert entra.granted == ["secret"]


def test_principal_with_another_secret(
    fetcher: Fetcher, authority: Authority, encrypted: AzureServer
) -> None:
    """A secret that the identity service does not know is refused in its words."""
    wrong = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT, "AZURE_CLIENT_SECRET": WRONG}
    with Entra(authority) as entra:
        fetcher.environment["AZURE_AUTHORITY_HOST"] = entra.url
        result = fetcher(source(encrypted), secret={**wrong, "ca.crt": authority.pem})
    assert result.reason == "AuthenticationFailed"
    assert "AADSTS7000215" in result.message["message"]
    assert WRONG not in result.log + result.text


def test_workload_identity(
    fetcher: Fetcher, authority: Authority, encrypted: AzureServer, tmp_path: Path
) -> None:
    """The token of the Pod's ServiceAccount is exchanged for one of Azure's."""
    (tmp_path / "azure-identity-token").write_text(FEDERATED)
    with Entra(authority) as entra:
        fetcher.environment.update(
            AZURE_AUTHORITY_HOST=f"{entra.url}/",
            AZURE_TENANT_ID=TENANT,
            AZURE_CLIENT_ID=CLIENT,
            AZURE_FEDERATED_TOKEN_FILE=str(tmp_path / "azure-identity-token"),
        )
        result = fetcher(source(encrypted), secret={"ca.crt": authority.pem})
    assert result.code == 0, result.log
    assert "identity of the ServiceAccount" in result.log
    assert entra.granted == ["assertion"]


def test_changed_since_the_first_attempt(fetcher: Fetcher, azure: AzureServer) -> None:
    """A retry gets what the first attempt got, or nothing."""
    azure.create_container("moving")
    azure.put("moving", "p/a.py", b"1")
    where = source(azure, container="moving", prefix="p", insecure=True)
    first = fetcher(where, secret=KEYS)
    pinned = {"revision": first.message["revision"], "secret": {}, "secretName": "code-access"}
    assert fetcher(where, volume="second", **pinned).code == 0
    azure.put("moving", "p/a.py", b"2")
    result = fetcher(where, volume="third", **pinned)
    assert (result.code, result.reason) == (1, "RevisionChanged")


def test_large_object(fetcher: Fetcher, azure: AzureServer) -> None:
    """A large object comes in parallel ranges, whole."""
    body = os.urandom(1 << 20) * 40 + b"tail"
    azure.create_container("large")
    azure.put("large", "p/large.bin", body)
    where = source(azure, container="large", prefix="p", insecure=True)
    result = fetcher(where, secret=KEYS)
    assert result.code == 0, result.log
    assert result.files() == {"large.bin": body}


def _connection(**parts: str) -> dict[str, str]:
    return {"AZURE_STORAGE_CONNECTION_STRING": ";".join(f"{k}={v}" for k, v in parts.items())}


@pytest.mark.parametrize(
    ("fields", "secret", "reason", "told"),
    [
        ({"container": "nowhere"}, KEYS, "PathNotFound", "ContainerNotFound"),
        ({"prefix": "o2"}, KEYS, "PathNotFound", "o2"),
        ({}, None, "AuthenticationFailed", "secretRef"),
        (
            {},
            {"AZURE_STORAGE_ACCOUNT_KEY": WRONG},
            "AuthenticationFailed",
            "Storage Blob Data Reader",
        ),
        ({}, {"AZURE_STORAGE_ACCOUNT_KEY": "&&&"}, "AuthenticationFailed", "Invalid Access Key"),
        (
            {},
            {"AZURE_STORAGE_SAS_TOKEN": "sv=2020-12-06&sr=c&sp=rl&sig=d3Jvbmc%3D"},
            "AuthenticationFailed",
            "Storage Blob Data Reader",
        ),
        ({}, _connection(AccountName="other", AccountKey=KEY), "AuthenticationFailed", "other"),
        ({}, _connection(AccountName=ACCOUNT), "AuthenticationFailed", "AccountKey"),
        ({}, {"AZURE_CLIENT_ID": "x"}, "SecretNotFound", "`AZURE_CLIENT_SECRET`"),
        ({"endpoint": f"http://localhost:1/{ACCOUNT}"}, KEYS, "SourceUnreachable", "refused"),
        ({"account": "A"}, KEYS, "InvalidPlan", "source.azure.account"),
        ({"container": "a--b"}, KEYS, "InvalidPlan", "source.azure.container"),
        ({"insecure": False}, KEYS, "InvalidPlan", "insecure: true"),
    ],
)
def test_failure(
    fetcher: Fetcher,
    azure: AzureServer,
    fields: dict[str, Any],
    secret: dict[str, str] | None,
    reason: str,
    told: str,
) -> None:
    """Each cause has its reason, a message that names it and a remedy, within half a minute."""
    result = fetcher(source(azure, **{"insecure": True, **fields}), secret=secret)
    assert (result.code, result.reason) == (1, reason), result.log
    assert told in result.text
    assert result.message["remedy"]
    assert result.message["seconds"]["total"] < 25
    for value in (KEY, WRONG, "d3Jvbmc"):
        assert value not in result.log + result.text


def test_hostile_key(fetcher: Fetcher, azure: AzureServer) -> None:
    """A name that is no safe path is refused and named; nothing is written."""
    azure.create_container("hostile", public=True)
    azure.put("hostile", "p/ok.py", b"1")
    azure.put("hostile", "p/.git/config", b"hostile")
    result = fetcher(source(azure, container="hostile", prefix="p"))
    assert (result.code, result.reason) == (1, "SourceRejected")
    assert ".git/config" in result.message["message"]
    assert not result.tree.exists()
