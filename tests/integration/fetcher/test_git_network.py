"""Fetching over a network that breaks, delays, redirects and lies."""

from __future__ import annotations

import http.client
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flow_fetcher.errors import FetchError, SourceUnreachableError
from flow_fetcher.sources.git.http import Timeouts
from tests.integration.fetcher.conftest import Fetcher, InProcess
from tests.servers.authority import Authority
from tests.servers.git import GitServer
from tests.servers.meddler import Answer, Meddler, flip
from tests.servers.repository import Repository, git
from tests.servers.tunnel import Tunnel
from tests.servers.web import Handler, Server

QUICK = Timeouts(connect=1.0, stall=1.0)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    made = Repository(tmp_path_factory.mktemp("git"))
    for number in range(60):
        made.write(f"pkg{number % 4}/mod{number}.py", f"x = {number}\n" * (number + 1))
    made.write("random.bin", bytes((number * 7919) % 251 for number in range(30000)))
    made.commit("first")
    made.write("pkg0/mod0.py", "changed\n")
    made.commit("second")
    git(made.bare, "repack", "-adfq")
    return made


@pytest.fixture(scope="module")
def server(repository: Repository) -> Iterator[GitServer]:
    with GitServer(repository.bare.parent) as running:
        yield running


def source(server: Server, **ref: str) -> dict[str, Any]:
    return {"type": "git", "git": {"url": f"{server.url}/flows.git", "ref": ref}}


# --- broken streams -----------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.999])
def test_truncated_pack(
    in_process: InProcess, server: GitServer, repository: Repository, share: float
) -> None:
    """A pack that ends early is never published, wherever it ends."""
    size = pack_size(server, repository)
    with (
        Meddler(server.url, lambda answer: cut(answer, int(size * share))) as meddler,
        pytest.raises(SourceUnreachableError) as caught,
    ):
        in_process(source(meddler, commit=repository.git("rev-parse", "main")), patience=0.1)
    assert caught.value.transient
    assert caught.value.remedy
    assert not (in_process.directory / "flow/src").exists()


def test_truncated_once(in_process: InProcess, server: GitServer, repository: Repository) -> None:
    """A connection that breaks once costs a second try, from the beginning."""
    breaks = iter([True])

    def meddle(answer: Answer) -> None:
        if next(breaks, False):
            cut(answer, 1500)

    with Meddler(server.url, meddle) as meddler:
        message = in_process(source(meddler, commit=repository.git("rev-parse", "main")))
    assert message["files"] == 61
    assert "trying again" in in_process.log.getvalue()


@pytest.mark.parametrize("share", [0.005, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 0.9995])
def test_corrupt_pack(
    in_process: InProcess, server: GitServer, repository: Repository, share: float
) -> None:
    """One wrong bit anywhere is found, and nothing is published."""
    size = pack_size(server, repository)

    def meddle(answer: Answer) -> None:
        answer.body = flip(answer.body, int(size * share))

    with Meddler(server.url, meddle) as meddler, pytest.raises(FetchError) as caught:
        in_process(source(meddler, commit=repository.git("rev-parse", "main")), patience=0.1)
    assert caught.value.reason in ("SourceRejected", "SourceUnreachable")
    assert not (in_process.directory / "flow/src").exists()


@pytest.mark.parametrize("after", [0, 1500])
def test_stalled_server(
    in_process: InProcess, server: GitServer, repository: Repository, after: int
) -> None:
    """A server that stops sending is given up, and said to have stopped."""

    def meddle(answer: Answer) -> None:
        answer.stall = after

    with (
        Meddler(server.url, meddle) as meddler,
        pytest.raises(SourceUnreachableError, match="stopped sending") as caught,
    ):
        in_process(
            source(meddler, commit=repository.git("rev-parse", "main")),
            timeouts=QUICK,
            patience=0.5,
        )
    assert caught.value.remedy


def test_another_commit_than_asked_for(
    in_process: InProcess, server: GitServer, repository: Repository
) -> None:
    """A server that sends some other commit is not believed."""
    wanted = repository.git("rev-parse", "main~1").encode()

    class Lying(Handler):
        def do_POST(self) -> None:
            body = self.body().replace(wanted, repository.git("rev-parse", "main").encode())
            self.server.owner.relay(self, body)  # type: ignore[attr-defined]

    with relaying(Lying, server) as liar, pytest.raises(FetchError) as caught:
        in_process(source(liar, commit=wanted.decode()), patience=0.1)
    assert caught.value.reason == "RevisionNotFound"
    assert wanted.decode() in caught.value.message


# --- failures that pass -------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_busy_server(
    in_process: InProcess, server: GitServer, repository: Repository, status: int
) -> None:
    """A server that is busy for a moment is asked again."""
    start = time.monotonic()

    def meddle(answer: Answer) -> None:
        if time.monotonic() < start + 0.4:
            answer.status = status

    with Meddler(server.url, meddle) as meddler:
        assert in_process(source(meddler, branch="main"))["reason"] == "Succeeded"


def test_server_that_stays_busy(in_process: InProcess, server: GitServer) -> None:
    """It is given up in time, with the status in the message."""

    def meddle(answer: Answer) -> None:
        answer.status = 503

    with (
        Meddler(server.url, meddle) as meddler,
        pytest.raises(SourceUnreachableError, match="503"),
    ):
        in_process(source(meddler, branch="main"), patience=0.6)


def test_retry_after_beyond_our_patience(in_process: InProcess, server: GitServer) -> None:
    """A server that wants to be left alone for long is left alone."""

    def meddle(answer: Answer) -> None:
        answer.status = 429
        answer.headers["Retry-After"] = "3600"

    with Meddler(server.url, meddle) as meddler:
        start = time.monotonic()
        with pytest.raises(SourceUnreachableError, match="429"):
            in_process(source(meddler, branch="main"))
        assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://localhost:1/flows.git", "no connection"),
        ("http://no-such-host.invalid/flows.git", "has no address"),
    ],
)
def test_unreachable(in_process: InProcess, url: str, told: str) -> None:
    """No server there: the host is named, and what to look at."""
    with pytest.raises(SourceUnreachableError, match=told) as caught:
        in_process({"type": "git", "git": {"url": url}}, patience=0.1)
    assert "DNS" in caught.value.remedy


def test_https_to_a_plain_server(in_process: InProcess, server: GitServer) -> None:
    """TLS with a server that does not speak it ends in a message, not in a trace."""
    url = server.url.replace("http://", "https://")
    with pytest.raises(SourceUnreachableError, match="no connection"):
        in_process({"type": "git", "git": {"url": f"{url}/flows.git"}}, patience=0.1)


def test_web_page(in_process: InProcess) -> None:
    """A server that answers with a page is no git server."""

    class Page(Handler):
        def do_GET(self) -> None:
            self.answer(200, "<html>hello</html>", Content_Type="text/html")

        def do_POST(self) -> None:
            self.body()
            self.answer(200, "<html>hello</html>", Content_Type="text/html")

    with (
        Server(Page) as page,
        pytest.raises(SourceUnreachableError, match="not as a git repository") as caught,
    ):
        in_process(source(page, branch="main"), patience=0.1)
    assert "git clone" in caught.value.remedy


# --- servers with less to offer -----------------------------------------------------------------


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_empty_repository(in_process: InProcess, tmp_path: Path, protocol: int) -> None:
    """A repository without a commit says so."""
    empty = Repository(tmp_path / "git")
    with (
        GitServer(empty.bare.parent, protocol=protocol) as server,
        pytest.raises(FetchError, match="the repository is empty") as caught,
    ):
        in_process(source(server), patience=0.1)
    assert caught.value.reason == "RevisionNotFound"


@pytest.mark.parametrize("allowed", [True, False])
def test_old_server_and_a_commit_that_is_no_tip(
    in_process: InProcess, tmp_path: Path, allowed: bool
) -> None:
    """Protocol 0 gives out tips alone, unless told otherwise: then the whole history is fetched."""
    old = Repository(tmp_path / "git")
    old.write("a", "1")
    first = old.commit()
    old.write("a", "2")
    old.write("b", "3")
    old.commit()
    old.serve(uploadpack__allowReachableSHA1InWant=str(allowed).lower())
    with GitServer(old.bare.parent, protocol=0) as server:
        message = in_process(source(server, commit=first))
    assert message["revision"] == first
    assert [p.name for p in (in_process.directory / "flow/src").iterdir()] == ["a"]
    assert ("whole history" in in_process.log.getvalue()) is not allowed


def test_old_server_without_the_commit(in_process: InProcess, tmp_path: Path) -> None:
    """When not even the whole history has it, the commit does not exist."""
    old = Repository(tmp_path / "git")
    old.write("a", "1")
    old.commit()
    with GitServer(old.bare.parent, protocol=0) as server, pytest.raises(FetchError) as caught:
        in_process(source(server, commit="0123456789" * 4), patience=0.1)
    assert caught.value.reason == "RevisionNotFound"


def test_server_that_gives_out_tips_alone(in_process: InProcess, server: GitServer) -> None:
    """Another implementation's refusal may mean either; the whole history decides."""

    def meddle(answer: Answer) -> None:
        if answer.method == "GET":
            answer.body = iter([b"".join(answer.body).replace(b"agent=git/", b"agent=jgt/")])

    with Meddler(server.url, meddle) as meddler, pytest.raises(FetchError) as caught:
        in_process(source(meddler, commit="0123456789" * 4), patience=0.1)
    assert caught.value.reason == "RevisionNotFound"
    assert "whole history" in in_process.log.getvalue()


def test_old_server_without_side_band(in_process: InProcess, repository: Repository) -> None:
    """The pack then follows as it is."""

    def meddle(answer: Answer) -> None:
        if answer.method == "GET":
            answer.body = iter([b"".join(answer.body).replace(b"side-band", b"xxxx-xxxx")])

    with (
        GitServer(repository.bare.parent, protocol=0) as server,
        Meddler(server.url, meddle) as meddler,
    ):
        assert in_process(source(meddler))["files"] == 61


def test_sha256_by_branch(in_process: InProcess, tmp_path: Path) -> None:
    """How commits are named need not be known beforehand; others cannot be there."""
    repository = Repository(tmp_path / "git", algorithm="sha256")
    repository.write("a", "1")
    commit = repository.commit()
    for protocol in (2, 0):
        with GitServer(repository.bare.parent, protocol=protocol) as server:
            plan = source(server, branch="main")
            assert in_process(plan, parameters={"p": protocol})["revision"] == commit
            with pytest.raises(FetchError, match="names commits with sha256"):
                in_process(source(server, commit="0" * 40), patience=0.1)


def test_server_that_gives_up(in_process: InProcess, server: GitServer) -> None:
    """What a server says when it gives up in the middle is told."""

    def meddle(answer: Answer) -> None:
        if b"packfile" in (whole := b"".join(answer.body)):
            said = b"\x03fatal: disk on fire"
            whole = whole[: whole.index(b"packfile") + 9] + b"%04x" % (len(said) + 4) + said
        answer.body = iter([whole])

    with (
        Meddler(server.url, meddle) as meddler,
        pytest.raises(SourceUnreachableError, match="disk on fire"),
    ):
        in_process(source(meddler, branch="main"), patience=0.1)


def test_pointers_of_git_lfs(in_process: InProcess, tmp_path: Path) -> None:
    """They stay pointers, as with git alone, and the log says so."""
    repository = Repository(tmp_path / "git")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n"
    repository.write("model.bin", pointer)
    repository.commit()
    with GitServer(repository.bare.parent) as server:
        in_process(source(server))
    assert (in_process.directory / "flow/src/model.bin").read_text() == pointer
    assert "git-lfs pointers" in in_process.log.getvalue()
    assert "model.bin" in in_process.log.getvalue()


def test_reference_to_a_blob(in_process: InProcess, tmp_path: Path) -> None:
    """A tag of something that is no commit is refused in words."""
    repository = Repository(tmp_path / "git")
    repository.write("a", "1")
    repository.commit()
    repository.git("tag", "thing", "HEAD:a")
    repository.push("refs/tags/thing")
    with (
        GitServer(repository.bare.parent) as server,
        pytest.raises(FetchError, match="is not a commit"),
    ):
        in_process(source(server, tag="thing"), patience=0.1)


def test_tag_of_a_tag(in_process: InProcess, tmp_path: Path) -> None:
    """A pinned tag object leads to its commit, through as many tags as there are."""
    repository = Repository(tmp_path / "git")
    repository.write("a", "1")
    commit = repository.commit()
    repository.git("tag", "-a", "inner", "-m", "inner")
    repository.git("tag", "-a", "outer", "-m", "outer", "inner")
    repository.push("refs/tags/inner", "refs/tags/outer")
    with GitServer(repository.bare.parent) as server:
        assert in_process(source(server, tag="outer"))["revision"] == commit
    (in_process.directory / "flow/run/fetched.json").unlink()
    tag = repository.git("rev-parse", "outer")
    with GitServer(repository.bare.parent) as server:
        assert in_process(source(server, commit=tag))["revision"] == commit


# --- redirects ----------------------------------------------------------------------------------


def redirecting(to: Callable[[str], str], status: int = 301) -> Server:
    class Redirect(Handler):
        def do_GET(self) -> None:
            self.answer(status, Location=to(self.path))

        def do_POST(self) -> None:
            self.body()
            self.answer(status, Location=to(self.path))

    return Server(Redirect)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_moved_repository(
    in_process: InProcess, server: GitServer, repository: Repository, status: int
) -> None:
    """A public repository that moved is fetched from where it is now."""
    with redirecting(lambda path: server.url + path.replace("/old", "/flows"), status) as old:
        plan = {"type": "git", "git": {"url": f"{old.url}/old.git"}}
        message = in_process(plan)
    assert message["revision"] == repository.git("rev-parse", "main")
    assert "has moved" in in_process.log.getvalue()


def test_redirect_never_takes_credentials_along(fetcher: Fetcher, repository: Repository) -> None:
    """Another server does not get the token, not even a request."""
    with (
        GitServer(repository.bare.parent, users={"*": "s3cret-token"}) as other,
        redirecting(lambda path: other.url + path) as old,
    ):
        git_source = {"url": f"{old.url}/flows.git", "insecure": True}
        result = fetcher({"type": "git", "git": git_source}, secret={"token": "s3cret-token"})
        assert not other.requests
    assert result.reason == "SourceUnreachable"
    assert "must not get credentials" in result.message["message"]


def test_redirect_within_a_server_keeps_credentials(
    fetcher: Fetcher, repository: Repository
) -> None:
    """A repository that was renamed is found with the same token."""
    with GitServer(repository.bare.parent, users={"*": "s3cret-token"}) as server:

        def meddle(answer: Answer) -> None:
            if answer.path.startswith("/old"):
                answer.status = 301
                answer.headers["Location"] = answer.path.replace("/old", "/flows")

        with Meddler(server.url, meddle) as meddler:
            git_source = {"url": f"{meddler.url}/old.git", "insecure": True}
            result = fetcher({"type": "git", "git": git_source}, secret={"token": "s3cret-token"})
    assert result.code == 0, result.log


def test_redirect_to_plain_http(fetcher: Fetcher, server: GitServer, authority: Authority) -> None:
    """From https nothing leads to http."""

    def meddle(answer: Answer) -> None:
        answer.status = 302
        answer.headers["Location"] = server.url + answer.path

    server.requests.clear()
    with Meddler(server.url, meddle, authority=authority) as meddler:
        result = fetcher(source(meddler), secret={"ca.crt": authority.pem})
    assert result.reason == "SourceUnreachable"
    assert "from https to http" in result.message["message"]


def test_redirect_to_a_login_page(in_process: InProcess) -> None:
    """A server that wants a login shows its page: credentials are the cause."""
    with (
        redirecting(lambda path: "/users/sign_in", 302) as server,
        pytest.raises(FetchError, match="no git repository") as caught,
    ):
        in_process(source(server), patience=0.1)
    assert caught.value.reason == "AuthenticationFailed"


@pytest.mark.parametrize(
    "location", ["", "http://[", "http://x:y/info/refs", "//", "ftp://x/info/refs"]
)
def test_redirect_to_nonsense(in_process: InProcess, location: str) -> None:
    """Whatever the Location says, the answer is one of our errors."""
    with redirecting(lambda path: location, 302) as server, pytest.raises(FetchError) as caught:
        in_process(source(server), patience=0.1)
    assert caught.value.reason in ("AuthenticationFailed", "SourceUnreachable")


def test_redirect_in_circles(in_process: InProcess) -> None:
    """A circle of redirects ends."""
    with (
        redirecting(lambda path: path, 302) as server,
        pytest.raises(SourceUnreachableError, match="in circles"),
    ):
        in_process(source(server), patience=0.1)


# --- proxies, client certificates, signals ------------------------------------------------------


def test_proxy(fetcher: Fetcher, repository: Repository, authority: Authority) -> None:
    """HTTPS_PROXY is used, with its password, and NO_PROXY is heard."""
    with (
        GitServer(repository.bare.parent, authority=authority) as server,
        Tunnel("pr0xy:p%40ss") as proxy,
    ):
        fetcher.environment["HTTPS_PROXY"] = f"http://pr0xy:p%40ss@localhost:{proxy.port}"
        result = fetcher(source(server), secret={"ca.crt": authority.pem})
        assert result.code == 0, result.log
        assert proxy.asked == [f"localhost:{server.port}"]
        fetcher.environment["NO_PROXY"] = "example.com,localhost"
        result = fetcher(source(server), secret={}, secretName="code-access", volume="second")
        assert result.code == 0, result.log
        assert len(proxy.asked) == 1


def test_proxy_for_plain_http(
    in_process: InProcess, server: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request for plain HTTP goes to the proxy as a whole URL."""
    with Meddler(server.url) as proxy:
        monkeypatch.setenv("http_proxy", f"http://ada:pw@localhost:{proxy.port}")
        message = in_process({"type": "git", "git": {"url": "http://git.invalid/flows.git"}})
    assert message["files"] == 61
    assert proxy.requests[0].path == "http://git.invalid/flows.git/git-upload-pack"
    assert proxy.requests[0].headers["proxy-authorization"].startswith("Basic ")


def test_broken_client_certificate(
    fetcher: Fetcher, repository: Repository, authority: Authority
) -> None:
    """A key that is none is said to be the cause."""
    certificate, _ = authority.client_pair("fetcher")
    with GitServer(repository.bare.parent, authority=authority) as server:
        secret = {"ca.crt": authority.pem, "tls.crt": certificate, "tls.key": "no key"}
        result = fetcher(source(server), secret=secret)
    assert result.reason == "AuthenticationFailed"
    assert "tls.key" in result.message["message"]


def test_client_certificate(fetcher: Fetcher, repository: Repository, authority: Authority) -> None:
    """A server that wants a client certificate gets the one of the Secret."""
    certificate, key = authority.client_pair("fetcher")
    with GitServer(repository.bare.parent, authority=authority) as server:
        authority.require_clients(server.context)
        result = fetcher(
            source(server),
            secret={"ca.crt": authority.pem, "tls.crt": certificate, "tls.key": key},
        )
    assert result.code == 0, result.log


def test_termination(fetcher: Fetcher, server: GitServer, repository: Repository) -> None:
    """SIGTERM ends a fetch at once, and leaves nothing behind."""
    reached = threading.Event()

    def meddle(answer: Answer) -> None:
        answer.stall = 1500
        reached.set()

    with Meddler(server.url, meddle) as meddler:
        process = fetcher.start(source(meddler, commit=repository.git("rev-parse", "main")))
        assert reached.wait(10)
        time.sleep(0.3)
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=10)
    assert time.monotonic() - start < 1
    result = fetcher.result(process.returncode, log)
    assert (result.code, result.reason) == (143, "FetchFailed")
    assert "terminated" in result.message["message"]
    assert list(result.volume.iterdir()) == []
    assert "Traceback" not in log


# --- helpers ------------------------------------------------------------------------------------


def cut(answer: Answer, after: int) -> None:
    answer.cut = after


def pack_size(server: GitServer, repository: Repository) -> int:
    """How many bytes the answer with the pack has, without the packet that ends it."""
    sizes: list[int] = []

    def meddle(answer: Answer) -> None:
        whole = b"".join(answer.body)
        sizes.append(len(whole))
        answer.body = iter([whole])

    with Meddler(server.url, meddle) as meddler, tempfile.TemporaryDirectory() as directory:
        InProcess(Path(directory))(source(meddler, commit=repository.git("rev-parse", "main")))
    return sizes[-1] - len("0000")


def relaying(handler: type[Handler], server: GitServer) -> Server:
    """A server whose handler can pass changed requests on to a git server."""

    class Relay(Server):
        def relay(self, asked: Handler, body: bytes) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", server.port)
            names = ("Content-Type", "Git-Protocol", "Accept")
            headers = {name: asked.headers[name] for name in names if name in asked.headers}
            connection.request(asked.command, asked.path, body, headers)
            answer = connection.getresponse()
            raw = answer.read()
            asked.send_response(answer.status)
            asked.send_header("Content-Type", answer.headers["Content-Type"])
            asked.send_header("Content-Length", str(len(raw)))
            asked.end_headers()
            asked.wfile.write(raw)

    return Relay(handler)
