"""Fetching from a real S3 server, and from one that lies."""

from __future__ import annotations

import hashlib
import os
import threading
from typing import Any

import pytest

from flow_fetcher.errors import FetchError
from tests.integration.fetcher.conftest import Fetcher, InProcess
from tests.servers.authority import Authority
from tests.servers.lying_s3 import LyingS3
from tests.servers.meddler import Answer, Meddler
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY, S3Server
from tests.servers.tunnel import Tunnel
from tests.servers.web import Server

KEYS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
TREE = {
    "flow.py": b"def main():\n    return 1\n",
    "sub/deep/data.bin": bytes(range(256)) * 40,
    "empty": b"",
    "sp ace+%41é.py": b"x = 1\n",
}


@pytest.fixture(scope="module", autouse=True)
def _filled(s3: S3Server) -> None:
    for bucket in ("flows", "public"):
        s3.create_bucket(bucket, public=bucket == "public")
        for key, body in TREE.items():
            s3.put(bucket, f"o20/{key}", body)
        for marker in ("o20/", "o20/sub/", "o20/nothing/"):
            s3.put(bucket, marker, b"")
        s3.put(bucket, "o2000/other.py", b"a sibling")
        s3.put(bucket, "top.py", b"at the top")


def source(server: S3Server | Server, **fields: Any) -> dict[str, Any]:
    return {"type": "s3", "s3": {"bucket": "flows", "endpoint": server.url, **fields}}


def revision(objects: dict[str, bytes]) -> str:
    """The digest of the contract, for objects that were uploaded in one part."""
    lines = [
        f"{key}\t{hashlib.md5(body).hexdigest()}\t{len(body)}\n".encode()
        for key, body in objects.items()
    ]
    return f"sha256:{hashlib.sha256(b''.join(sorted(lines))).hexdigest()}"


def test_private_prefix(fetcher: Fetcher, s3: S3Server) -> None:
    """A prefix is a directory: its objects come, the sibling's and the markers do not."""
    where = source(s3, prefix="o20", insecure=True)
    result = fetcher(where, secret=KEYS, entrypoint="flow.py:main")
    assert result.code == 0, result.log
    assert result.files() == TREE
    assert result.message["revision"] == revision(TREE)
    assert result.message["files"] == len(TREE)
    assert result.message["bytes"] == sum(map(len, TREE.values()))


@pytest.mark.parametrize("prefix", ["o20/", "/o20/"])
def test_prefix_with_slashes(fetcher: Fetcher, s3: S3Server, prefix: str) -> None:
    """Slashes around a prefix change nothing."""
    result = fetcher(source(s3, prefix=prefix, insecure=True), secret=KEYS)
    assert result.message["revision"] == revision(TREE)


def test_whole_bucket(fetcher: Fetcher, s3: S3Server) -> None:
    """Without a prefix the whole bucket comes."""
    result = fetcher(source(s3, insecure=True), secret=KEYS)
    assert set(result.files()) == {
        "top.py",
        "o2000/other.py",
        *(f"o20/{key}" for key in TREE),
    }


def test_public(fetcher: Fetcher, s3: S3Server) -> None:
    """A public bucket needs no Secret."""
    where = source(s3, bucket="public", prefix="o20")
    result = fetcher(where)
    assert result.code == 0, result.log
    assert result.files() == TREE


def test_private_authority(fetcher: Fetcher, authority: Authority) -> None:
    """HTTPS with a private authority works with its certificate, and says so without."""
    with S3Server(authority=authority) as server:
        server.create_bucket("flows")
        server.put("flows", "a.py", b"1")
        result = fetcher(source(server), secret=KEYS)
        assert result.reason == "SourceUnreachable"
        assert "`ca.crt`" in result.message["remedy"]
        result = fetcher(source(server), secret={"ca.crt": authority.pem}, volume="second")
        assert result.code == 0, result.log


def test_second_start_makes_no_request(fetcher: Fetcher) -> None:
    """A second start repeats the message; the server is gone."""
    with S3Server() as server:
        server.create_bucket("flows")
        server.put("flows", "a.py", b"1")
        first = fetcher(source(server, insecure=True), secret=KEYS)
    again = fetcher(source(server, insecure=True), secret={})
    assert (again.code, again.message) == (0, first.message)


def test_changed_since_the_first_attempt(fetcher: Fetcher, s3: S3Server) -> None:
    """A retry gets what the first attempt got, or nothing."""
    s3.create_bucket("moving")
    s3.put("moving", "p/a.py", b"1")
    where = source(s3, bucket="moving", prefix="p", insecure=True)
    first = fetcher(where, secret=KEYS)
    pinned = {"revision": first.message["revision"], "secret": {}, "secretName": "code-access"}
    assert fetcher(where, volume="second", **pinned).code == 0
    s3.put("moving", "p/a.py", b"2")
    result = fetcher(where, volume="third", **pinned)
    assert (result.code, result.reason) == (1, "RevisionChanged")
    assert not result.tree.exists()


def test_large_object(fetcher: Fetcher, s3: S3Server) -> None:
    """A large object comes in parallel ranges, whole."""
    body = os.urandom(1 << 20) * 41 + b"tail"
    s3.create_bucket("large")
    s3.put("large", "p/large.bin", body)
    s3.put("large", "p/medium.bin", body[: 3 << 20])
    result = fetcher(source(s3, bucket="large", prefix="p", insecure=True), secret=KEYS)
    assert result.code == 0, result.log
    files = result.files()
    assert hashlib.sha256(files["large.bin"]).digest() == hashlib.sha256(body).digest()
    assert files["medium.bin"] == body[: 3 << 20]
    assert result.message["bytes"] == len(body) + (3 << 20)


@pytest.mark.parametrize(
    ("fields", "secret", "reason", "told"),
    [
        ({"bucket": "nowhere"}, KEYS, "PathNotFound", "NoSuchBucket"),
        ({"prefix": "o2"}, KEYS, "PathNotFound", "o2"),
        ({"prefix": "top.py"}, KEYS, "PathNotFound", "top.py"),
        (
            {},
            {**KEYS, "AWS_SECRET_ACCESS_KEY": "wrong" + SECRET_KEY},
            "AuthenticationFailed",
            "SignatureDoesNotMatch",
        ),
        ({}, {**KEYS, "AWS_ACCESS_KEY_ID": "AKIAWRONG"}, "AuthenticationFailed", "access key"),
        ({}, None, "AuthenticationFailed", "secretRef"),
        ({}, {"AWS_ACCESS_KEY_ID": ACCESS_KEY}, "SecretNotFound", "`AWS_SECRET_ACCESS_KEY`"),
        ({"region": "eu-central-1"}, KEYS, "SourceUnreachable", "region: us-east-1"),
        ({"endpoint": "http://localhost:1"}, KEYS, "SourceUnreachable", "connection refused"),
        ({"endpoint": "http://no-such-host.invalid"}, KEYS, "SourceUnreachable", "no address"),
    ],
)
def test_failure(
    fetcher: Fetcher,
    s3: S3Server,
    fields: dict[str, str],
    secret: dict[str, str] | None,
    reason: str,
    told: str,
) -> None:
    """Each cause has its reason, a message that names it and a remedy, within half a minute."""
    result = fetcher(source(s3, insecure=True, **fields), secret=secret)
    assert (result.code, result.reason) == (1, reason)
    assert told in result.text
    assert result.message["remedy"]
    assert result.message["seconds"]["total"] < 25
    assert SECRET_KEY not in result.log + result.text
    assert ACCESS_KEY not in result.log + result.text


def test_keys_over_plain_http(fetcher: Fetcher, s3: S3Server) -> None:
    """Keys do not travel to an unverified server unless the user says so."""
    result = fetcher(source(s3), secret=KEYS)
    assert result.reason == "InvalidPlan"
    assert "insecure: true" in result.message["message"]


@pytest.mark.parametrize(
    ("bucket", "host"),
    [
        ("acme-flows", "acme-flows.s3.eu-central-1.amazonaws.com"),
        ("acme.flows", "s3.eu-central-1.amazonaws.com"),
        ("Acme_flows", "s3.eu-central-1.amazonaws.com"),
    ],
)
def test_address_at_amazon(fetcher: Fetcher, bucket: str, host: str) -> None:
    """A bucket has an address of its own, unless no certificate or host could have its name."""
    with Tunnel(refuse=True) as proxy:
        fetcher.environment["HTTPS_PROXY"] = f"http://localhost:{proxy.port}"
        where = {"type": "s3", "s3": {"bucket": bucket, "region": "eu-central-1"}}
        process = fetcher.start(where, secret=KEYS)
        assert proxy.was_asked.wait(10)
        process.kill()
        process.communicate()
    assert set(proxy.asked) == {f"{host}:443"}


# --- a server that lies -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        "p/../x",
        "p/../../x",
        "p//b",
        "p/./x",
        "p/.git/config",
        "p/sub/.GIT/hooks/post-checkout",
        "p/git~1/config",
        "p/" + "n" * 300,
        "p/line\nbreak",
    ],
)
def test_hostile_key(fetcher: Fetcher, key: str) -> None:
    """A key that is no safe path is refused and named; nothing is written."""
    with LyingS3({"p/ok.py": b"1", key: b"hostile"}) as server:
        result = fetcher(source(server, prefix="p"))
    assert (result.code, result.reason) == (1, "SourceRejected")
    assert key.removeprefix("p/").split("\n")[0][:100] in result.message["message"]
    assert not result.tree.exists()


def test_key_that_begins_with_a_slash(fetcher: Fetcher) -> None:
    """Such an object cannot be asked for; it is refused rather than left out in silence."""
    with LyingS3({"/etc/passwd": b"hostile"}) as server:
        result = fetcher(source(server))
    assert result.reason == "SourceRejected"
    assert "etc/passwd" in result.message["message"]


@pytest.mark.parametrize("order", [1, -1])
def test_file_and_directory_of_one_name(fetcher: Fetcher, order: int) -> None:
    """`a` and `a/b` cannot both be files."""
    objects = {"p/a": b"1", "p/a/b": b"2"}
    with LyingS3(dict(list(objects.items())[::order])) as server:
        result = fetcher(source(server, prefix="p"))
    assert result.reason == "SourceRejected"
    assert "both a file and a directory" in result.message["message"]


def test_wrong_size(fetcher: Fetcher) -> None:
    """An object that is not as long as listed is not taken."""
    with LyingS3({"p/a": b"12345"}, listed={"p/a": (4, "")}) as server:
        result = fetcher(source(server, prefix="p"))
    assert result.reason == "FetchFailed"
    assert "4 bytes" in result.message["message"]


def test_object_that_changes_all_the_time(in_process: InProcess) -> None:
    """What changes between listing and download is tried again, and given up in time."""
    with LyingS3({"p/a": b"12345"}, listed={"p/a": (5, '"other"')}) as server:
        with pytest.raises(FetchError, match="changed while") as caught:
            in_process(source(server, prefix="p"), patience=1.0)
        listings = [request for request in server.requests if "list-type" in request.path]
    assert caught.value.reason == "FetchFailed"
    assert len(listings) == 2


@pytest.mark.parametrize(("delay", "low", "high"), [(0.0, 1, 64), (0.1, 100, 128)])
def test_far_server(fetcher: Fetcher, delay: float, low: int, high: int) -> None:
    """The longer an answer takes, the more requests are under way."""
    objects = {f"p/{number:04}": b"x" * 100 for number in range(800)}
    with LyingS3(objects, delay=delay) as server:
        result = fetcher(source(server, prefix="p"))
    assert result.message["files"] == 800, result.log
    assert low <= server.most_under_way <= high


@pytest.mark.parametrize("status", [503, 429])
def test_busy_server(fetcher: Fetcher, status: int) -> None:
    """A server that gives out only so many objects a second is asked for less, until all came."""
    objects = {f"p/{number:04}": b"x" * 100 for number in range(400)}
    with LyingS3(objects, delay=0.05, most_a_second=60, busy=status) as server:
        result = fetcher(source(server, prefix="p"))
        listings = [request for request in server.requests if "list-type" in request.path]
    assert server.refused > 100
    assert result.message["files"] == 400, result.log
    assert len(listings) == 1


@pytest.mark.parametrize("stalled", ["listing", "object"])
def test_termination(fetcher: Fetcher, stalled: str) -> None:
    """SIGTERM ends a fetch at once, whatever it waits for."""
    reached = threading.Event()

    def meddle(answer: Answer) -> None:
        if ("list-type" in answer.path) == (stalled == "listing"):
            answer.stall = 1
            reached.set()

    with LyingS3({"p/a": b"12345"}) as server, Meddler(server.url, meddle) as meddler:
        process = fetcher.start(source(meddler, prefix="p"))
        assert reached.wait(10)
        result = fetcher.terminate(process)
    assert (result.code, result.reason) == (143, "FetchFailed")
    assert "Traceback" not in result.log
    assert not result.tree.exists()
