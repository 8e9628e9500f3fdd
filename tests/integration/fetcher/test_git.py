"""Fetching from a real git server: what is found, what is not, and what the user is told."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.fetcher.conftest import Fetcher
from tests.servers.authority import Authority
from tests.servers.git import GitServer
from tests.servers.repository import Repository, git

TOKEN = "t0k%@+/en-Zm9vYmFy=="


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    made = Repository(tmp_path_factory.mktemp("git"))
    made.write("etl/nightly.py", "def main():\n    return 1\n")
    made.commit("first")
    made.git("tag", "-a", "v1", "-m", "the first")
    made.git("tag", "light")
    made.write("etl/nightly.py", "def main():\n    return 2\n")
    made.commit("second")
    made.push(
        "refs/tags/v1", "refs/tags/light", "HEAD:refs/heads/feature/one", "HEAD~1:refs/pull/7/head"
    )
    return made


@pytest.fixture(scope="module")
def server(repository: Repository) -> Iterator[GitServer]:
    with GitServer(repository.bare.parent) as running:
        yield running


@pytest.fixture(autouse=True)
def _forget(server: GitServer) -> None:
    server.requests.clear()


def source(server: GitServer, ref: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    return {"type": "git", "git": {"url": f"{server.url}/flows.git", "ref": ref or {}, **fields}}


@pytest.mark.parametrize(
    ("ref", "wanted"),
    [
        ({}, "main"),
        ({"branch": "main"}, "main"),
        ({"branch": "feature/one"}, "main"),
        ({"tag": "v1"}, "v1^{commit}"),
        ({"tag": "light"}, "light"),
        ({"name": "refs/pull/7/head"}, "main~1"),
        ({"name": "refs/tags/v1"}, "v1^{commit}"),
        ({"name": "HEAD"}, "main"),
    ],
)
def test_reference(
    fetcher: Fetcher, server: GitServer, repository: Repository, ref: dict[str, str], wanted: str
) -> None:
    """Each way to name a revision gives its tree, in two requests on one connection."""
    server.connections = 0
    result = fetcher(source(server, ref), entrypoint="etl/nightly.py:main")
    commit = repository.git("rev-parse", wanted)
    assert (result.code, result.reason, result.message["revision"]) == (0, "Succeeded", commit)
    assert result.files() == {
        "etl/nightly.py": repository.git("show", f"{commit}:etl/nightly.py").encode() + b"\n"
    }
    assert [request.method for request in server.requests] == ["POST", "POST"]
    assert server.connections == 1


def test_commit_takes_one_request(
    fetcher: Fetcher, server: GitServer, repository: Repository
) -> None:
    """A known commit needs no look at the references."""
    commit = repository.git("rev-parse", "main~1")
    result = fetcher(source(server, {"commit": commit}))
    assert result.message["revision"] == commit
    assert len(server.requests) == 1


def test_pinned_revision_goes_before_the_branch(
    fetcher: Fetcher, server: GitServer, repository: Repository
) -> None:
    """A retry gets the commit of the first attempt, whatever the branch is by now."""
    commit = repository.git("rev-parse", "main~1")
    result = fetcher(source(server, {"branch": "main"}), revision=commit)
    assert result.message["revision"] == commit
    assert b"return 1" in result.files()["etl/nightly.py"]


def test_commit_that_no_branch_reaches(
    fetcher: Fetcher, server: GitServer, repository: Repository
) -> None:
    """A commit that a force-push left behind is fetched as long as the server has it."""
    git(repository.bare, "branch", "-f", "lost", "main")
    commit = git(repository.bare, "commit-tree", "-p", "main", "-m", "lost", "main^{tree}")
    result = fetcher(source(server, {"commit": commit}))
    assert (result.reason, result.message["revision"]) == ("Succeeded", commit)


def test_absent_commit(fetcher: Fetcher, server: GitServer) -> None:
    """A commit that the server does not have is named, with what may have happened to it."""
    result = fetcher(source(server, {"commit": "0123456789" * 4}))
    assert (result.code, result.reason) == (1, "RevisionNotFound")
    assert "0123456789" * 4 in result.text
    assert "pushed" in result.text


@pytest.mark.parametrize(
    ("ref", "told"),
    [
        ({"branch": "mian"}, "branch main"),
        ({"branch": "Feature/One"}, "branch feature/one"),
        ({"tag": "V1"}, "tag v1"),
        ({"branch": "v1"}, "tag v1"),
        ({"branch": "zzzzzz"}, "there are: branch"),
    ],
)
def test_missing_reference(
    fetcher: Fetcher, server: GitServer, ref: dict[str, str], told: str
) -> None:
    """What is missing is named, with what the user may have meant."""
    result = fetcher(source(server, ref))
    assert result.reason == "RevisionNotFound"
    assert next(iter(ref.values())) in result.message["message"]
    assert told in result.message["message"]
    assert result.message["remedy"]
    assert not (result.volume / "src").exists()


def test_volume_layout(fetcher: Fetcher, server: GitServer) -> None:
    """The volume is laid out as the contract says, and nothing else is left on it."""
    result = fetcher(
        source(server),
        workingDirectory="etl",
        entrypoint="nightly.py:main",
        parameters={"day": "ü"},
        messageBudget=2048,
    )
    assert result.code == 0, result.log
    assert sorted(path.name for path in result.volume.iterdir()) == ["home", "run", "src"]
    context = json.loads((result.volume / "run/context.json").read_bytes())
    assert context == {
        "version": 1,
        "run": {
            "namespace": "data",
            "name": "etl-x1",
            "uid": "u1",
            "deployment": "etl",
            "attempt": 1,
        },
        "revision": result.message["revision"],
        "workingDirectory": "etl",
        "entrypoint": "nightly.py:main",
        "parameters": {"day": "ü"},
        "messageBudget": 2048,
    }
    assert (result.volume / "run/runner.py").read_text().startswith('"""')
    assert stat.S_IMODE((result.volume / "src").stat().st_mode) == 0o755
    assert result.message["files"] == 1
    assert set(result.message["seconds"]) == {"resolve", "fetch", "total"}


def test_second_start_makes_no_request(
    fetcher: Fetcher, repository: Repository, tmp_path: Path
) -> None:
    """A second start repeats the message; the server is not asked: it is gone."""
    with GitServer(repository.bare.parent) as server:
        first = fetcher(source(server))
    again = fetcher(source(server))
    assert (again.code, again.message) == (0, first.message)
    assert "already fetched" in again.log


def test_another_plan_replaces_the_tree(
    fetcher: Fetcher, server: GitServer, repository: Repository
) -> None:
    """A marker counts only for the plan it was made for."""
    fetcher(source(server))
    (fetcher.directory / "flow/src/left-behind").write_text("by an earlier main container")
    result = fetcher(source(server, {"tag": "v1"}))
    assert result.message["revision"] == repository.git("rev-parse", "v1^{commit}")
    assert list(result.files()) == ["etl/nightly.py"]


def test_unfinished_fetch_is_removed(fetcher: Fetcher, server: GitServer) -> None:
    """What a killed fetcher left is not taken for a tree, and goes."""
    stale = fetcher.directory / "flow/.fetching/src"
    stale.mkdir(parents=True)
    (stale / "half").write_text("a file")
    result = fetcher(source(server))
    assert result.code == 0
    assert list(result.files()) == ["etl/nightly.py"]
    assert not (result.volume / ".fetching").exists()


@pytest.mark.parametrize(
    ("fields", "reason", "told"),
    [
        ({"workingDirectory": "etl2"}, "PathNotFound", "etl"),
        ({"workingDirectory": "etl/nightly.py"}, "PathNotFound", "not a directory"),
        ({"entrypoint": "etl/nightli.py:main"}, "EntrypointNotFound", "etl/nightly.py"),
        ({"entrypoint": "nightly.py:main"}, "EntrypointNotFound", "etl/nightly.py"),
    ],
)
def test_missing_path(
    fetcher: Fetcher, server: GitServer, fields: dict[str, str], reason: str, told: str
) -> None:
    """What the main container would miss is told before it starts, with what is there instead."""
    result = fetcher(source(server), **fields)
    assert (result.code, result.reason) == (1, reason)
    assert told in result.message["message"]
    assert result.message["revision"]
    assert not result.tree.exists()


# --- private repositories ---------------------------------------------------------------------


@pytest.fixture
def private(repository: Repository, authority: Authority) -> Iterator[GitServer]:
    with GitServer(
        repository.bare.parent,
        users={"ada": TOKEN, "x-access-token": TOKEN},
        bearer="b3arer",
        authority=authority,
    ) as running:
        yield running


@pytest.mark.parametrize(
    "secret",
    [
        {"username": "ada", "password": TOKEN},
        {"token": TOKEN},
        {"token": TOKEN + "\n", "username": "ada"},
        {"password": TOKEN},
        {"bearerToken": "b3arer"},
    ],
)
def test_private(
    fetcher: Fetcher, private: GitServer, authority: Authority, secret: dict[str, str]
) -> None:
    """Every way to log in works over HTTPS with a private authority, at the first try."""
    result = fetcher(source(private), secret={**secret, "ca.crt": authority.pem})
    assert result.code == 0, result.log
    assert all(request.headers.get("authorization") for request in private.requests)
    assert len(private.requests) == 2


@pytest.mark.parametrize(
    ("secret", "hidden", "reason", "told"),
    [
        ({"token": "wrong" + TOKEN}, False, "AuthenticationFailed", "401"),
        ({"username": "bob", "password": TOKEN}, False, "AuthenticationFailed", "401"),
        ({"token": "wrong" + TOKEN}, True, "AuthenticationFailed", "private repository"),
        ({"username": "ada"}, False, "AuthenticationFailed", "401"),
    ],
)
def test_wrong_credentials(
    fetcher: Fetcher,
    private: GitServer,
    authority: Authority,
    secret: dict[str, str],
    hidden: bool,
    reason: str,
    told: str,
) -> None:
    """Refused credentials are told apart from a missing repository as far as the server lets us."""
    private.hidden = hidden
    result = fetcher(source(private), secret={**secret, "ca.crt": authority.pem})
    assert (result.code, result.reason) == (1, reason)
    assert told in result.text
    assert "secretRef" in result.message["remedy"]


def test_no_credentials(fetcher: Fetcher, repository: Repository) -> None:
    """A private repository without credentials says so."""
    with GitServer(repository.bare.parent, users={"ada": TOKEN}) as server:
        result = fetcher(source(server))
    assert result.reason == "AuthenticationFailed"
    assert "secretRef" in result.text


def test_missing_repository(fetcher: Fetcher, server: GitServer) -> None:
    """404 may mean either; the remedy names both."""
    bad = {"type": "git", "git": {"url": f"{server.url}/flaws.git"}}
    result = fetcher(bad)
    assert result.reason == "AuthenticationFailed"
    assert "Check the URL" in result.message["remedy"]


@pytest.mark.parametrize(
    ("secret", "told"),
    [
        (None, "does not exist"),
        ({}, "does not exist"),
        ({"Token": TOKEN}, "it has Token"),
        ({"token": ""}, "it has token"),
    ],
)
def test_missing_secret(
    fetcher: Fetcher, server: GitServer, secret: dict[str, str] | None, told: str
) -> None:
    """A missing Secret or key is named, with the keys that would do."""
    result = fetcher(source(server, insecure=True), secret=secret, secretName="git-token")
    assert (result.code, result.reason) == (1, "SecretNotFound")
    assert "git-token" in result.message["message"]
    assert told in result.message["message"]
    assert "`username` and `password`" in result.message["remedy"]
    assert not server.requests


def test_unknown_authority(fetcher: Fetcher, private: GitServer) -> None:
    """A certificate that nobody vouches for leads to `ca.crt`, not to a retry."""
    result = fetcher(source(private), secret={"token": TOKEN})
    assert result.reason == "SourceUnreachable"
    assert "`ca.crt`" in result.message["remedy"]
    assert result.message["seconds"]["total"] < 5


def test_authority_alone(fetcher: Fetcher, repository: Repository, authority: Authority) -> None:
    """A public repository behind a private authority needs a Secret with `ca.crt` alone."""
    with GitServer(repository.bare.parent, authority=authority) as server:
        result = fetcher(source(server), secret={"ca.crt": authority.pem})
    assert result.code == 0, result.log


def test_broken_authority(fetcher: Fetcher, private: GitServer) -> None:
    """A `ca.crt` that is no certificate is said to be the cause."""
    result = fetcher(source(private), secret={"token": TOKEN, "ca.crt": "no PEM"})
    assert result.reason == "AuthenticationFailed"
    assert "ca.crt" in result.message["message"]


def test_credentials_over_plain_http(fetcher: Fetcher, server: GitServer) -> None:
    """Credentials do not travel in clear unless the user says so."""
    result = fetcher(source(server), secret={"token": TOKEN})
    assert result.reason == "InvalidPlan"
    assert "insecure: true" in result.message["message"]
    assert not server.requests
    result = fetcher(source(server, insecure=True), secret={})
    assert result.code == 0


def test_no_credential_is_left_anywhere(
    fetcher: Fetcher, private: GitServer, authority: Authority
) -> None:
    """Neither log, message nor volume has the token, with debugging on."""
    fetcher.environment["FLOW_LOG_LEVEL"] = "debug"
    for token in (TOKEN, "wrong" + TOKEN):
        shutil.rmtree(fetcher.directory / "credentials", ignore_errors=True)
        result = fetcher(source(private), secret={"token": token, "ca.crt": authority.pem})
        places = [result.log, json.dumps(result.message, ensure_ascii=False)]
        places += [p.read_text() for p in result.volume.rglob("*") if p.is_file()]
        assert not any(TOKEN in place for place in places)
