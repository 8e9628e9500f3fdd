"""Fetching over SSH from a real OpenSSH server: one connection, and clear words when it fails."""

from __future__ import annotations

import ctypes
import importlib
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flow_fetcher.errors import SourceUnreachableError
from flow_fetcher.sources.git.http import Timeouts
from tests.integration.fetcher.conftest import Fetcher, InProcess
from tests.integration.fetcher.trees import picture
from tests.servers.process import free_port
from tests.servers.repository import Repository
from tests.servers.ssh import SSHServer, make_key, require_wrapper


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    made = Repository(tmp_path_factory.mktemp("git"), "it's-here!")
    for number in range(300):
        made.write(f"d{number % 7}/f{number}.py", f"x = {number}\n" * (number % 90))
    made.write("bin/tool", "#!/bin/sh\n", executable=True)
    (made.work / "link").symlink_to("bin/tool")
    made.commit()
    made.git("tag", "-a", "v1", "-m", "first")
    made.git("tag", "-a", "outer", "v1", "-m", "a tag of a tag")
    made.commit("empty")
    made.push("refs/tags/v1", "refs/tags/outer", "HEAD")
    return made


@pytest.fixture(scope="module")
def server() -> Iterator[SSHServer]:
    with SSHServer() as running:
        yield running


def source(server: SSHServer, repository: Repository, **fields: Any) -> dict[str, Any]:
    return {"type": "git", "git": {"url": f"{server.url}{repository.bare}", **fields}}


@pytest.mark.parametrize("protocol", [2, 1, 0])
@pytest.mark.parametrize("wanted", ["main", "v1", "outer", "commit"])
def test_reference(fetcher: Fetcher, repository: Repository, protocol: int, wanted: str) -> None:
    """Every protocol and way to name a revision gives git's tree, over one connection."""
    commit = repository.git("rev-parse", f"{wanted if wanted != 'commit' else 'main'}^{{commit}}")
    kinds = {"main": {}, "commit": {"commit": commit}}
    with SSHServer(protocol=protocol) as server:
        plan = source(server, repository, ref=kinds.get(wanted, {"tag": wanted}))
        result = fetcher(plan, secret=server.secret)
        assert (result.reason, result.message["revision"]) == ("Succeeded", commit), result.log
        assert server.connections == 1
    expected = repository.checkout(fetcher.directory / "by-git", commit)
    assert picture(result.tree) == picture(expected)


def test_key_names_of_kubernetes(
    fetcher: Fetcher, server: SSHServer, repository: Repository
) -> None:
    """A Secret of the type kubernetes.io/ssh-auth does, with known_hosts added."""
    secret = {"ssh-privatekey": server.key.read_text(), "known_hosts": server.known_hosts}
    assert fetcher(source(server, repository), secret=secret).reason == "Succeeded"


def test_passphrase(fetcher: Fetcher, repository: Repository) -> None:
    """An encrypted key opens with the Secret's password, which nothing shows."""
    with SSHServer(passphrase="correct horse ' battery") as server:
        secret = {**server.secret, "password": "correct horse ' battery"}
        result = fetcher(source(server, repository), secret=secret)
        assert result.reason == "Succeeded", result.log
        assert "horse" not in result.log


@pytest.mark.parametrize("password", [{}, {"password": "wrong"}])
def test_wrong_passphrase(
    fetcher: Fetcher, repository: Repository, password: dict[str, str]
) -> None:
    """A passphrase that is missing or wrong is told as that."""
    with SSHServer(passphrase="right") as server:
        result = fetcher(source(server, repository), secret={**server.secret, **password})
    assert result.reason == "AuthenticationFailed"
    assert "passphrase" in result.text


def test_wrong_key(
    fetcher: Fetcher, server: SSHServer, repository: Repository, tmp_path: Path
) -> None:
    """A key that the server does not know is refused at once, with where to add it."""
    secret = {**server.secret, "identity": make_key(tmp_path / "other").read_text()}
    result = fetcher(source(server, repository), secret=secret)
    assert result.reason == "AuthenticationFailed"
    assert "deploy keys" in result.text


BROKEN = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("key", "told"), [("ssh-ed25519 AAAA test", "no private key"), (BROKEN, "cannot be read")]
)
def test_no_key(
    fetcher: Fetcher, server: SSHServer, repository: Repository, key: str, told: str
) -> None:
    """What is no private key is told as that."""
    result = fetcher(source(server, repository), secret={**server.secret, "identity": key})
    assert result.reason == "AuthenticationFailed"
    assert told in result.text


def test_unknown_host(fetcher: Fetcher, server: SSHServer, repository: Repository) -> None:
    """Known hosts without this one: nothing is sent, and the command is told."""
    secret = {**server.secret, "known_hosts": server.known_hosts.replace(str(server.port), "1")}
    result = fetcher(source(server, repository), secret=secret)
    assert result.reason == "SourceUnreachable"
    assert f"ssh-keyscan -p {server.port} localhost" in result.text


def test_changed_host_key(
    fetcher: Fetcher, server: SSHServer, repository: Repository, tmp_path: Path
) -> None:
    """Another key than the known one is a warning of its own."""
    other = make_key(tmp_path / "other").with_suffix(".pub").read_text()
    line = f"[localhost]:{server.port} {other}"
    result = fetcher(source(server, repository), secret={**server.secret, "known_hosts": line})
    assert result.reason == "SourceUnreachable"
    assert "in between" in result.text
    assert "fingerprint" in result.text


def test_no_known_hosts(fetcher: Fetcher, server: SSHServer, repository: Repository) -> None:
    """Without known_hosts there is no connection at all."""
    before = server.connections
    result = fetcher(source(server, repository), secret={"identity": server.key.read_text()})
    assert result.reason == "SecretNotFound"
    assert f"ssh-keyscan -p {server.port} localhost" in result.text
    assert server.connections == before


def test_other_keys(fetcher: Fetcher, server: SSHServer, repository: Repository) -> None:
    """A Secret for HTTP is none for SSH."""
    result = fetcher(source(server, repository), secret={"token": "t"})
    assert result.reason == "SecretNotFound"
    assert "identity" in result.text


def test_nothing_of_the_users(
    fetcher: Fetcher, server: SSHServer, repository: Repository, tmp_path: Path
) -> None:
    """Neither ~/.ssh nor an agent counts, and both stay as they are."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh/config").write_text("Host *\n  ProxyCommand false\n")
    (home / ".ssh/known_hosts").write_text(server.known_hosts)
    fetcher.environment |= {"HOME": str(home), "SSH_AUTH_SOCK": str(tmp_path / "agent")}
    assert fetcher(source(server, repository), secret=server.secret).reason == "Succeeded"
    (fetcher.directory / "credentials/..data/known_hosts").write_text("other ssh-ed25519 AAAA")
    result = fetcher(source(server, repository), secretName="code-access", volume="other")
    assert result.reason == "SourceUnreachable"
    assert sorted(os.listdir(home / ".ssh")) == ["config", "known_hosts"]


def test_user_without_a_name(server: SSHServer, repository: Repository) -> None:
    """A Pod may run as any user, and `ssh` refuses those that have no entry in /etc/passwd."""
    if os.geteuid() != 0:
        return  # nobody else can become another user
    require_wrapper()
    for name in (
        "source",
        "ssh",
        "checkout",
    ):  # the other user may not be able to read Python's library
        importlib.import_module(f"flow_fetcher.sources.git.{name}")
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        directory.chmod(0o777)
        (directory / "credentials").mkdir()
        for key, value in server.secret.items():
            (directory / "credentials" / key).write_text(value)
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setgid(12345)
                os.setuid(12345)
                ctypes.CDLL(None).prctl(4, 1)  # /proc/self is ours again, as after any exec
                fetch = InProcess(directory)
                fetch(source(server, repository), secretName="code-access", patience=0)
            except BaseException as error:
                (directory / "error").write_text(repr(error))
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        problem = directory / "error"
        assert not problem.exists(), problem.read_text()
        assert (directory / "flow/src/bin/tool").is_file()


def test_missing_repository(fetcher: Fetcher, server: SSHServer) -> None:
    """A path that holds no repository."""
    url = f"{server.url}/no/such/repository.git"
    result = fetcher({"type": "git", "git": {"url": url}}, secret=server.secret)
    assert result.reason == "SourceUnreachable"
    assert "/no/such/repository.git" in result.text
    assert "Check the path" in result.text


@pytest.mark.parametrize(
    ("ref", "told"),
    [({"branch": "mian"}, "similar: branch main"), ({"commit": "0123456789" * 4}, "pushed")],
)
def test_missing_revision(
    fetcher: Fetcher, server: SSHServer, repository: Repository, ref: dict[str, str], told: str
) -> None:
    """A branch and a commit that are not there."""
    result = fetcher(source(server, repository, ref=ref), secret=server.secret)
    assert result.reason == "RevisionNotFound"
    assert told in result.text


def test_nobody_there(in_process: InProcess, server: SSHServer) -> None:
    """A port where nobody listens may listen a moment later."""
    url = f"ssh://git@localhost:{free_port('127.0.0.1')}/x.git"
    with pytest.raises(SourceUnreachableError, match="refused") as caught:
        in_process({"type": "git", "git": {"url": url}}, secret=server.secret, patience=0)
    assert caught.value.transient


@pytest.mark.parametrize(("connect", "stall"), [(1, 5), (5, 1)])
def test_silent_server(
    in_process: InProcess, server: SSHServer, connect: float, stall: float
) -> None:
    """A server that accepts and says nothing is given up in time."""
    started = time.monotonic()
    timeouts = Timeouts(connect=connect, stall=stall)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        plan = {"url": f"ssh://git@localhost:{listener.getsockname()[1]}/x.git"}
        with pytest.raises(SourceUnreachableError, match=r"no connection|stopped") as caught:
            in_process(
                {"type": "git", "git": plan}, secret=server.secret, patience=0, timeouts=timeouts
            )
    assert caught.value.transient
    assert time.monotonic() - started < 4


def test_no_leaks(fetcher: Fetcher, server: SSHServer, repository: Repository) -> None:
    """No line of the key is on the volume, in the log or in the message."""
    fetcher.environment["FLOW_LOG_LEVEL"] = "debug"
    result = fetcher(source(server, repository), secret=server.secret)
    lines = [line for line in server.key.read_text().splitlines() if not line.startswith("---")]
    everything = [result.log, str(result.message)]
    everything += [p.read_text() for p in result.volume.rglob("*") if p.is_file()]
    assert not any(line in text for text in everything for line in lines)
