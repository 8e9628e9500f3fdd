"""Fetching from a real server of Google's storage protocol, behind a gate that checks
signatures."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tests.integration.fetcher.conftest import Fetcher
from tests.servers.authority import Authority
from tests.servers.gcs import EMAIL, GCSServer, Metadata

TREE = {
    "flow.py": b"def main():\n    return 1\n",
    "sub/deep/data.bin": bytes(range(256)) * 40,
    "empty": b"",
    "sp ace+%41é.py": b"x = 1\n",
}


@pytest.fixture(scope="module", autouse=True)
def _filled(gcs: GCSServer) -> None:
    for bucket in ("flows", "public"):
        gcs.create_bucket(bucket, public=bucket == "public")
        for key, body in TREE.items():
            gcs.put(bucket, f"o20/{key}", body)
        gcs.put(bucket, "o20/", b"")
        gcs.put(bucket, "o2000/other.py", b"a sibling")


@pytest.fixture
def keys(gcs: GCSServer) -> dict[str, str]:
    return {"service-account.json": gcs.key}


def source(server: GCSServer, **fields: Any) -> dict[str, Any]:
    return {"type": "gcs", "gcs": {"bucket": "flows", "endpoint": server.url, **fields}}


@pytest.mark.parametrize("key", ["service-account.json", "serviceaccount"])
def test_private_prefix(fetcher: Fetcher, gcs: GCSServer, key: str) -> None:
    """A service account's key opens a private bucket; the sibling of the prefix stays away."""
    where = source(gcs, prefix="o20", insecure=True)
    result = fetcher(where, secret={key: gcs.key}, entrypoint="flow.py:main")
    assert result.code == 0, result.log
    assert result.files() == TREE
    assert result.message["revision"].startswith("sha256:")
    assert EMAIL in result.log


def test_public(fetcher: Fetcher, gcs: GCSServer) -> None:
    """A public bucket needs no Secret, and nobody is asked for an identity."""
    result = fetcher(source(gcs, bucket="public", prefix="o20"))
    assert result.code == 0, result.log
    assert result.files() == TREE


def test_workload_identity(fetcher: Fetcher, gcs: GCSServer) -> None:
    """Without a Secret the token of the metadata server is used, where there is one."""
    gcs.tokens.add("ya29.of-the-pod")
    with Metadata("ya29.of-the-pod") as metadata:
        fetcher.environment["GCE_METADATA_HOST"] = metadata.url.removeprefix("http://")
        result = fetcher(source(gcs, prefix="o20"))
    assert result.code == 0, result.log
    assert "identity of the ServiceAccount" in result.log


def test_private_authority(fetcher: Fetcher, authority: Authority) -> None:
    """HTTPS with a private authority works with its certificate, and says so without."""
    with GCSServer(authority=authority) as server:
        server.create_bucket("flows")
        server.put("flows", "a.py", b"1")
        keys = {"service-account.json": server.key}
        result = fetcher(source(server), secret=keys)
        assert result.reason == "SourceUnreachable"
        assert "`ca.crt`" in result.message["remedy"]
        result = fetcher(source(server), secret={"ca.crt": authority.pem}, volume="second")
        assert result.code == 0, result.log


def test_changed_since_the_first_attempt(
    fetcher: Fetcher, gcs: GCSServer, keys: dict[str, str]
) -> None:
    """A retry gets what the first attempt got, or nothing."""
    gcs.create_bucket("moving")
    gcs.put("moving", "p/a.py", b"1")
    where = source(gcs, bucket="moving", prefix="p", insecure=True)
    first = fetcher(where, secret=keys)
    pinned = {"revision": first.message["revision"], "secret": {}, "secretName": "code-access"}
    assert fetcher(where, volume="second", **pinned).code == 0
    gcs.put("moving", "p/a.py", b"2")
    result = fetcher(where, volume="third", **pinned)
    assert (result.code, result.reason) == (1, "RevisionChanged")


def test_large_object(fetcher: Fetcher, gcs: GCSServer, keys: dict[str, str]) -> None:
    """A large object comes in parallel ranges, whole."""
    body = os.urandom(1 << 20) * 40 + b"tail"
    gcs.create_bucket("large")
    gcs.put("large", "p/large.bin", body)
    result = fetcher(source(gcs, bucket="large", prefix="p", insecure=True), secret=keys)
    assert result.code == 0, result.log
    assert result.files() == {"large.bin": body}


def test_another_key(fetcher: Fetcher, gcs: GCSServer) -> None:
    """A key that the store does not know is refused, and appears nowhere."""
    with GCSServer() as other:
        key = other.key
    result = fetcher(source(gcs, insecure=True), secret={"service-account.json": key})
    assert result.reason == "AuthenticationFailed"
    assert "Storage Object Viewer" in result.message["remedy"]
    for line in other.account["private_key"].split("\n"):
        assert not line or line.startswith("-----") or line not in result.log + result.text


@pytest.mark.parametrize(
    ("fields", "secret", "reason", "told"),
    [
        ({"bucket": "nowhere"}, {}, "PathNotFound", "NoSuchBucket"),
        ({"prefix": "o2"}, {}, "PathNotFound", "o2"),
        ({}, None, "AuthenticationFailed", "secretRef"),
        ({}, {"service-account.json": "{}"}, "AuthenticationFailed", "gcloud"),
        ({}, {"service-account.json": "not json"}, "AuthenticationFailed", "gcloud"),
        (
            {},
            {"service-account.json": json.dumps({"type": "authorized_user"})},
            "AuthenticationFailed",
            "'authorized_user'",
        ),
        ({}, {"token": "x"}, "SecretNotFound", "`service-account.json`"),
        ({"endpoint": "http://localhost:1"}, {}, "SourceUnreachable", "connection refused"),
        ({"bucket": "A"}, {}, "InvalidPlan", "source.gcs.bucket"),
        ({"endpoint": "http://localhost/x"}, {}, "InvalidPlan", "source.gcs.endpoint"),
        ({"insecure": False}, {}, "InvalidPlan", "insecure: true"),
    ],
)
def test_failure(
    fetcher: Fetcher,
    gcs: GCSServer,
    keys: dict[str, str],
    fields: dict[str, Any],
    secret: dict[str, str] | None,
    reason: str,
    told: str,
) -> None:
    """Each cause has its reason, a message that names it and a remedy, within half a minute."""
    given = keys if secret == {} else secret
    result = fetcher(source(gcs, **{"insecure": True, **fields}), secret=given)
    assert (result.code, result.reason) == (1, reason), result.log
    assert told in result.text
    assert result.message["remedy"]
    assert result.message["seconds"]["total"] < 25
    assert "PRIVATE KEY" not in result.log + result.text


def test_hostile_key(fetcher: Fetcher, gcs: GCSServer) -> None:
    """A key that is no safe path is refused and named; nothing is written."""
    gcs.create_bucket("hostile", public=True)
    gcs.put("hostile", "p/ok.py", b"1")
    gcs.put("hostile", "p/.git/config", b"hostile")
    result = fetcher(source(gcs, bucket="hostile", prefix="p"))
    assert (result.code, result.reason) == (1, "SourceRejected")
    assert ".git/config" in result.message["message"]
    assert not result.tree.exists()
