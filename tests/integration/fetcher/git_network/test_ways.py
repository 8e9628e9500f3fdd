"""The way to a server: redirects, proxies, client certificates, and a signal on the way."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from flow_fetcher.errors import FetchError, SourceUnreachableError
from tests.integration.fetcher.conftest import Fetcher, InProcess
from tests.integration.fetcher.git_network.conftest import source
from tests.servers.authority import Authority
from tests.servers.git import GitServer
from tests.servers.meddler import Answer, Meddler
from tests.servers.repository import Repository
from tests.servers.tunnel import Tunnel
from tests.servers.web import Handler, Server


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
        result = fetcher.terminate(process)
    assert (result.code, result.reason) == (143, "FetchFailed")
    assert "terminated" in result.message["message"]
    assert list(result.volume.iterdir()) == []
    assert "Traceback" not in result.log
