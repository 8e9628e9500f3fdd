"""Servers that break off, lie, stall, are busy, or are none."""

from __future__ import annotations

import http.client
import tempfile
import time
from pathlib import Path

import pytest

from flow_fetcher.errors import FetchError, SourceUnreachableError
from flow_fetcher.sources.git.http import Timeouts
from tests.integration.fetcher.conftest import InProcess
from tests.integration.fetcher.git_network.conftest import source
from tests.servers.git import GitServer
from tests.servers.meddler import Answer, Meddler, flip
from tests.servers.repository import Repository
from tests.servers.web import Handler, Server

QUICK = Timeouts(connect=1.0, stall=1.0)


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
