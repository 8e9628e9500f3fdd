"""Fetching through fsspec: from the same real stores, and from file systems that are not clouds."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.integration.fetcher.conftest import Fetcher
from tests.servers.authority import Authority
from tests.servers.azure import ACCOUNT, KEY, AzureServer
from tests.servers.gcs import Store
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY, S3Server
from tests.unit.fetcher.archives import gzipped, tar, zipped

KEYS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
TREE = {
    "flow.py": b"def main():\n    return 1\n",
    "sub/deep/data.bin": bytes(range(256)) * 40,
    "empty": b"",
    "sp ace+é.py": b"x = 1\n",
    "large.bin": os.urandom(1 << 20) * 5 + b"tail",
}


@pytest.fixture(scope="module", autouse=True)
def _filled(s3: S3Server, azure: AzureServer) -> None:
    s3.create_bucket("fsspec")
    s3.create_bucket("fsspec-public", public=True)
    azure.create_container("fsspec")
    for key, body in TREE.items():
        s3.put("fsspec", f"o20/{key}", body)
        s3.put("fsspec-public", f"o20/{key}", body)
        azure.put("fsspec", f"o20/{key}", body)
    s3.put("fsspec", "o20/", b"")
    s3.put("fsspec", "o2000/other.py", b"a sibling")
    azure.put("fsspec", "o2000/other.py", b"a sibling")
    s3.put("fsspec", "archives/flows.tgz", gzipped(tar(*TREE.items())))
    s3.put("fsspec", "archives/flows.zip", zipped(*TREE.items()))


def source(url: str, **fields: Any) -> dict[str, Any]:
    return {"type": "fsspec", "fsspec": {"url": url, "insecure": True, **fields}}


def s3_source(server: S3Server, url: str = "s3://fsspec/o20", **fields: Any) -> dict[str, Any]:
    return source(url, **{"options": {"endpoint_url": server.url}, **fields})


def test_s3(fetcher: Fetcher, s3: S3Server) -> None:
    """The Secret of the source s3 does; the sibling and the markers stay away."""
    result = fetcher(s3_source(s3), secret=KEYS, entrypoint="flow.py:main")
    assert result.code == 0, result.log
    assert result.files() == TREE
    lines = [
        f"{key}\t{hashlib.md5(body).hexdigest()}\t{len(body)}\n".encode()
        for key, body in TREE.items()
    ]
    digest = hashlib.sha256(b"".join(sorted(lines))).hexdigest()
    assert result.message["revision"] == f"sha256:{digest}"


def test_s3_in_public(fetcher: Fetcher, s3: S3Server) -> None:
    """Without a Secret and an identity nobody looks for credentials."""
    result = fetcher(s3_source(s3, "s3://fsspec-public/o20/"))
    assert result.code == 0, result.log
    assert result.files() == TREE


def test_options_of_the_secret(fetcher: Fetcher, s3: S3Server) -> None:
    """Any option may be in the Secret, where the others are kept out of sight."""
    options = {"key": ACCESS_KEY, "secret": SECRET_KEY, "endpoint_url": s3.url}
    result = fetcher(source("s3://fsspec/o20"), secret={"options.json": json.dumps(options)})
    assert result.code == 0, result.log
    assert result.files() == TREE


@pytest.mark.parametrize("name", ["flows.tgz", "flows.zip"])
def test_archive(fetcher: Fetcher, s3: S3Server, name: str) -> None:
    """An archive unpacks while it is downloaded."""
    where = s3_source(s3, "s3://fsspec/archives", key=name)
    result = fetcher(where, secret=KEYS)
    assert result.code == 0, result.log
    assert result.files() == TREE
    pack = gzipped(tar(*TREE.items())) if name == "flows.tgz" else zipped(*TREE.items())
    assert result.message["revision"] == f"sha256:{hashlib.sha256(pack).hexdigest()}"


def test_azure(fetcher: Fetcher, azure: AzureServer) -> None:
    """The Secret of the source azure does."""
    where = source("abfs://fsspec/o20", options={"account_name": ACCOUNT})
    result = fetcher(where, secret={"AZURE_STORAGE_CONNECTION_STRING": azure.connection_string})
    assert result.code == 0, result.log
    assert result.files() == TREE


def test_google(fetcher: Fetcher) -> None:
    """gcsfs does not wait for a gRPC server that is not there."""
    with Store() as store:
        body = json.dumps({"name": "fsspec"}).encode()
        store.call("POST", "/storage/v1/b?project=acme", body, "application/json")
        for key, data in TREE.items():
            where = f"/upload/storage/v1/b/fsspec/o?uploadType=media&name=o20%2F{_quoted(key)}"
            store.call("POST", where, data)
        endpoint = f"http://{store.address}:{store.port}"
        result = fetcher(
            source("gs://fsspec/o20", options={"endpoint_url": endpoint, "token": "anon"})
        )
    assert result.code == 0, result.log
    assert result.files() == TREE
    assert result.message["seconds"]["total"] < 15


def _quoted(key: str) -> str:
    from urllib.parse import quote

    return quote(key, safe="")


def test_file_system_that_is_no_cloud(fetcher: Fetcher, tmp_path: Path) -> None:
    """Any installed file system will do: one without versions is compared by content."""
    package = tmp_path / "site"
    package.mkdir()
    (package / "sitecustomize.py").write_text(
        "import fsspec\n"
        "from fsspec.implementations.memory import MemoryFileSystem\n"
        "class Wiki(MemoryFileSystem):\n"
        "    protocol = 'wiki'\n"
        "    store = {}\n"
        "    pseudo_dirs = ['']\n"
        "    @classmethod\n"
        "    def _strip_protocol(cls, path):\n"
        "        return '/' + path.removeprefix('wiki://').strip('/')\n"
        "    def find(self, path, **options):\n"
        "        found = super().find(path, **options)\n"
        "        return {name: {'size': found[name]['size']} for name in found}\n"
        "fsspec.register_implementation('wiki', Wiki)\n"
        "Wiki().pipe('/team/flow.py', b'x = 1')\n"
        "Wiki().pipe('/team/sub/large', b'1' * 5_000_000)\n"
    )
    fetcher.environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(package), os.environ.get("PYTHONPATH", "")])
    )
    result = fetcher(source("wiki://team"))
    assert result.code == 0, result.log
    assert result.files() == {"flow.py": b"x = 1", "sub/large": b"1" * 5_000_000}
    lines = [
        f"{name}\t{hashlib.sha256(body).hexdigest()}\t{len(body)}\n".encode()
        for name, body in result.files().items()
    ]
    digest = hashlib.sha256(b"".join(sorted(lines))).hexdigest()
    assert result.message["revision"] == f"sha256:{digest}"


def test_changed_since_the_first_attempt(fetcher: Fetcher, s3: S3Server) -> None:
    """A retry gets what the first attempt got, or nothing."""
    s3.create_bucket("fsspec-moving")
    s3.put("fsspec-moving", "p/a.py", b"1")
    where = s3_source(s3, "s3://fsspec-moving/p")
    first = fetcher(where, secret=KEYS)
    pinned = {"revision": first.message["revision"], "secret": {}, "secretName": "code-access"}
    assert fetcher(where, volume="second", **pinned).code == 0
    s3.put("fsspec-moving", "p/a.py", b"2")
    result = fetcher(where, volume="third", **pinned)
    assert (result.code, result.reason) == (1, "RevisionChanged")


def test_private_authority(fetcher: Fetcher, authority: Authority) -> None:
    """HTTPS with a private authority works with its certificate, and says so without."""
    with S3Server(authority=authority) as server:
        server.create_bucket("flows", public=True)
        server.put("flows", "p/a.py", b"1")
        where = s3_source(server, "s3://flows/p")
        result = fetcher(where)
        assert result.reason == "SourceUnreachable"
        assert "`ca.crt`" in result.message["remedy"]
        result = fetcher(where, secret={"ca.crt": authority.pem}, volume="second")
        assert result.code == 0, result.log


@pytest.mark.parametrize(
    ("url", "fields", "secret", "reason", "told"),
    [
        ("s3://nowhere/x", {}, KEYS, "PathNotFound", "nowhere"),
        ("s3://fsspec/o2", {}, KEYS, "PathNotFound", "o2"),
        ("s3://fsspec", {"key": "none.zip"}, KEYS, "PathNotFound", "none.zip"),
        ("s3://fsspec", {"key": "o20/x.tar"}, KEYS, "PathNotFound", "x.tar"),
        (
            "s3://fsspec/o20",
            {},
            {**KEYS, "AWS_SECRET_ACCESS_KEY": "wrong" + SECRET_KEY},
            "AuthenticationFailed",
            "secretRef",
        ),
        ("s3://fsspec/o20", {}, None, "AuthenticationFailed", "secretRef"),
        ("s3://fsspec/o20", {}, {"options.json": "[]"}, "AuthenticationFailed", "options.json"),
        (
            "s3://fsspec/o20",
            {"options": {"endpoint_url": "http://localhost:1"}},
            KEYS,
            "SourceUnreachable",
            "localhost:1",
        ),
        ("s3://fsspec/o20", {"options": {"cabbage": 1}}, KEYS, "FetchFailed", "cabbage"),
        ("nonsense://x/y", {}, None, "InvalidPlan", "fetcherFullImage"),
        ("file:///etc", {}, None, "InvalidPlan", "source.fsspec.url"),
        ("simplecache::s3://fsspec", {}, None, "InvalidPlan", "source.fsspec.url"),
        ("sftp://u:pw@host/x", {}, None, "InvalidPlan", "secretRef"),
        ("s3://fsspec/o20", {"insecure": False}, KEYS, "InvalidPlan", "source.fsspec.options"),
        ("http://localhost/o20", {"insecure": False}, KEYS, "InvalidPlan", "insecure: true"),
    ],
)
def test_failure(
    fetcher: Fetcher,
    s3: S3Server,
    url: str,
    fields: dict[str, Any],
    secret: dict[str, str] | None,
    reason: str,
    told: str,
) -> None:
    """Each cause has its reason, a message that names it and a remedy, within half a minute."""
    result = fetcher(s3_source(s3, url, **fields), secret=secret)
    assert (result.code, result.reason) == (1, reason), result.log
    assert told in result.text
    assert result.message["remedy"]
    assert result.message["seconds"]["total"] < 25
    assert SECRET_KEY not in result.log + result.text
    assert KEY not in result.log + result.text


def test_hostile_key(fetcher: Fetcher, azure: AzureServer) -> None:
    """A name that is no safe path is refused and named; nothing is written."""
    azure.create_container("fsspec-hostile")
    azure.put("fsspec-hostile", "p/ok.py", b"1")
    azure.put("fsspec-hostile", "p/.git/config", b"hostile")
    secret = {"AZURE_STORAGE_CONNECTION_STRING": azure.connection_string}
    result = fetcher(source("abfs://fsspec-hostile/p"), secret=secret)
    assert (result.code, result.reason) == (1, "SourceRejected")
    assert ".git/config" in result.message["message"]
    assert not result.tree.exists()
