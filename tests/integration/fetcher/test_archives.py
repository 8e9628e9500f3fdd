"""Archives in buckets: one object that unpacks while it is downloaded."""

from __future__ import annotations

import hashlib
import os
import threading
from typing import Any

import pytest

from tests.integration.fetcher.conftest import Fetcher
from tests.servers.azure import ACCOUNT, KEY, AzureServer
from tests.servers.gcs import GCSServer
from tests.servers.lying_s3 import LyingS3
from tests.servers.meddler import Answer, Meddler
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY, S3Server
from tests.unit.fetcher.archives import gzipped, tar, zipped, zstandard

KEYS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
TREE = {"flow.py": b"def main():\n    return 1\n", "sub/data": bytes(range(256)) * 40}
LARGE = {**TREE, "large": os.urandom(1 << 20) * 13}
ARCHIVES = {
    "flows.tar": tar(*LARGE.items()),
    "flows.tar.gz": gzipped(tar(*LARGE.items()), 1),
    "flows.tgz": gzipped(tar(*TREE.items())),
    "flows.tar.zst": zstandard(tar(*LARGE.items())),
    "flows.zip": zipped(*LARGE.items(), compression=0),
}


@pytest.fixture(scope="module", autouse=True)
def _filled(s3: S3Server, gcs: GCSServer, azure: AzureServer) -> None:
    s3.create_bucket("archives")
    gcs.create_bucket("archives")
    azure.create_container("archives")
    for server in (s3, gcs, azure):
        for name, data in ARCHIVES.items():
            server.put("archives", f"releases/{name}", data)
        server.put("archives", "releases/empty.zip", b"")
        server.put("archives", "releases/page.tar.gz", b"<html>not an archive</html>" * 20)


def source(s3: S3Server | LyingS3 | Meddler, **fields: Any) -> dict[str, Any]:
    where = {"bucket": "archives", "endpoint": s3.url, "insecure": True}
    return {"type": "s3", "s3": {**where, **fields}}


@pytest.mark.parametrize("name", ARCHIVES)
def test_archive(fetcher: Fetcher, s3: S3Server, name: str) -> None:
    """Each kind unpacks, and its revision is the digest of its bytes."""
    result = fetcher(source(s3, key=f"releases/{name}"), secret=KEYS, entrypoint="flow.py:main")
    assert result.code == 0, result.log
    assert result.files() == (TREE if name == "flows.tgz" else LARGE)
    assert result.message["revision"] == f"sha256:{hashlib.sha256(ARCHIVES[name]).hexdigest()}"


@pytest.mark.parametrize("name", ["flows.tar.gz", "flows.zip"])
def test_google(fetcher: Fetcher, gcs: GCSServer, name: str) -> None:
    """The same from Google's storage."""
    where = {"bucket": "archives", "endpoint": gcs.url, "insecure": True, "key": f"releases/{name}"}
    result = fetcher({"type": "gcs", "gcs": where}, secret={"service-account.json": gcs.key})
    assert result.code == 0, result.log
    assert result.files() == LARGE


@pytest.mark.parametrize("name", ["flows.tar.gz", "flows.zip"])
def test_azure(fetcher: Fetcher, azure: AzureServer, name: str) -> None:
    """The same from Azure's."""
    where = {"account": ACCOUNT, "container": "archives", "endpoint": azure.url, "insecure": True}
    where["key"] = f"releases/{name}"
    result = fetcher({"type": "azure", "azure": where}, secret={"AZURE_STORAGE_ACCOUNT_KEY": KEY})
    assert result.code == 0, result.log
    assert result.files() == LARGE


def test_strip_components(fetcher: Fetcher, s3: S3Server) -> None:
    """The top directory that hosts put into their archives can be dropped."""
    s3.put("archives", "top.tgz", gzipped(tar(("flows-main/flow.py", b"x = 1"))))
    where = source(s3, key="top.tgz", stripComponents=1)
    assert fetcher(where, secret=KEYS).files() == {"flow.py": b"x = 1"}


def test_retry(fetcher: Fetcher, s3: S3Server) -> None:
    """A retry unpacks the same bytes, or nothing."""
    s3.put("archives", "moving.zip", zipped(("a.py", b"1")))
    where = source(s3, key="moving.zip")
    first = fetcher(where, secret=KEYS)
    pinned = {"revision": first.message["revision"], "secret": {}, "secretName": "code-access"}
    assert fetcher(where, volume="second", **pinned).code == 0
    s3.put("archives", "moving.zip", zipped(("a.py", b"2")))
    result = fetcher(where, volume="third", **pinned)
    assert (result.code, result.reason) == (1, "RevisionChanged")
    assert not result.tree.exists()


@pytest.mark.parametrize(
    ("fields", "reason", "told"),
    [
        ({"key": "releases/none.zip"}, "PathNotFound", "there is no object"),
        ({"key": "releases/flows.zip", "bucket": "nowhere"}, "PathNotFound", "NoSuchBucket"),
        ({"key": "releases/empty.zip"}, "SourceRejected", "empty"),
        ({"key": "releases/page.tar.gz"}, "SourceRejected", "gzip"),
        ({"key": "releases/flows.tgz", "stripComponents": 9}, "PathNotFound", "stripComponents"),
        ({"key": "releases/flows.rar"}, "InvalidPlan", "source.s3.key"),
        ({"key": "a.zip", "prefix": "b"}, "InvalidPlan", "source.s3.key"),
        ({"prefix": "b", "stripComponents": 1}, "InvalidPlan", "source.s3.stripComponents"),
    ],
)
def test_failure(
    fetcher: Fetcher, s3: S3Server, fields: dict[str, Any], reason: str, told: str
) -> None:
    """Each cause has its reason, a message that names it and a remedy."""
    result = fetcher(source(s3, **fields), secret=KEYS)
    assert (result.code, result.reason) == (1, reason), result.log
    assert told in result.text
    assert result.message["remedy"]


def test_termination(fetcher: Fetcher, s3: S3Server) -> None:
    """SIGTERM ends a fetch at once while the store is silent."""
    s3.create_bucket("open", public=True)
    s3.put("open", "flows.tar", ARCHIVES["flows.tar"])
    reached = threading.Event()

    def meddle(answer: Answer) -> None:
        answer.stall = 1
        reached.set()

    with Meddler(s3.url, meddle) as meddler:
        process = fetcher.start(source(meddler, bucket="open", key="flows.tar"))
        assert reached.wait(10)
        result = fetcher.terminate(process)
    assert result.code == 143
