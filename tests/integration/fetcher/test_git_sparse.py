"""Some directories of a repository, with as little traffic as the server allows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flow_fetcher.errors import PathNotFoundError
from tests.integration.fetcher.conftest import Fetcher, InProcess
from tests.integration.fetcher.trees import picture
from tests.servers.git import GitServer
from tests.servers.meddler import Answer, Meddler
from tests.servers.repository import Repository
from tests.servers.ssh import SSHServer


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    made = Repository(tmp_path_factory.mktemp("git"))
    for number in range(200):
        made.write(f"group{number % 10}/sub{number % 3}/f{number}.py", f"x = {number}\n" * 200)
    made.write("group1/tool", "#!/bin/sh\n", executable=True)
    made.write("group1/copy", "x = 1\n" * 200)
    made.write("group10/f.py", "not group1\n")
    made.write("README", "at the root\n")
    (made.work / "group1/link").symlink_to("../README")
    made.write(".gitattributes", "*.txt eol=crlf\n")
    made.write("group2/.gitattributes", "*.txt eol=lf\n")
    made.write("group1/a.txt", "one\ntwo\n")
    made.write("group2/a.txt", "one\ntwo\n")
    made.commit()
    made.serve(uploadpack__allowFilter="true")
    return made


@pytest.fixture(scope="module")
def server(repository: Repository) -> Iterator[GitServer]:
    with GitServer(repository.bare.parent) as running:
        yield running


def source(url: str, *directories: str, **fields: Any) -> dict[str, Any]:
    git = {"url": f"{url}/flows.git", "sparseCheckout": directories, **fields}
    return {"type": "git", "git": git}


def wanted(repository: Repository, directory: Path, *directories: str) -> dict[bytes, Any]:
    """What git's whole checkout has in these directories."""
    whole = picture(repository.checkout(directory / "by-git", "main"))
    inside = tuple(f"{name}/".encode() for name in directories)
    return {
        path: content
        for path, content in whole.items()
        if path.startswith(inside) or any(each.startswith(path + b"/") for each in inside)
    }


@pytest.mark.parametrize(
    "directories", [["group1"], ["group1", "group2/sub0"], ["group2", "group2/sub0"]]
)
def test_directories(
    fetcher: Fetcher, server: GitServer, repository: Repository, directories: list[str]
) -> None:
    """Nothing else is written, what is written is as git has it, and nothing else travels."""
    server.requests.clear()
    server.connections = 0
    commit = repository.git("rev-parse", "main")
    result = fetcher(source(server.url, *directories, ref={"commit": commit}))
    assert (result.reason, result.message["revision"]) == ("Succeeded", commit), result.log
    assert picture(result.tree) == wanted(repository, fetcher.directory, *directories)
    assert len(server.requests) == 2
    assert server.connections == 1


def test_branch_takes_three_requests(fetcher: Fetcher, server: GitServer) -> None:
    """The reference, the trees, the files."""
    server.requests.clear()
    assert fetcher(source(server.url, "group3", ref={"branch": "main"})).reason == "Succeeded"
    assert len(server.requests) == 3


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_server_that_cannot_filter(
    fetcher: Fetcher, tmp_path: Path, repository: Repository, protocol: int
) -> None:
    """Without the capability everything travels, and the same is written."""
    other = Repository(tmp_path / "git")
    other.git("pull", "-q", str(repository.bare), "main")
    other.push()
    other.serve(uploadpack__allowFilter="false")
    with GitServer(other.bare.parent, protocol=protocol) as server:
        result = fetcher(source(server.url, "group1", ref={"branch": "main"}))
    assert result.reason == "Succeeded", result.log
    assert picture(result.tree) == wanted(repository, fetcher.directory, "group1")


def test_server_that_gives_out_no_files(
    in_process: InProcess, server: GitServer, repository: Repository
) -> None:
    """Where files cannot be asked for by name, everything is fetched after all."""
    count = 0

    def meddle(answer: Answer) -> None:
        nonlocal count
        count += 1
        if count == 2:
            answer.headers = {k: v for k, v in answer.headers.items() if k != "Content-Length"}
            refusal = b"ERR upload-pack: not our ref"
            answer.body = iter([b"%04x%s" % (len(refusal) + 4, refusal)])

    commit = repository.git("rev-parse", "main")
    with Meddler(server.url, meddle) as between:
        in_process(source(between.url, "group1", ref={"commit": commit}))
    tree = in_process.directory / "flow/src"
    assert picture(tree) == wanted(repository, in_process.directory, "group1")
    assert "fetching all" in in_process.log.getvalue()


def test_over_ssh(fetcher: Fetcher, repository: Repository) -> None:
    """All of it on one connection."""
    with SSHServer() as server:
        plan = source(f"{server.url}{repository.bare.parent}", "group1")
        result = fetcher(plan, secret=server.secret)
        assert result.reason == "Succeeded", result.log
        assert server.connections == 1
    assert picture(result.tree) == wanted(repository, fetcher.directory, "group1")


@pytest.mark.parametrize("name", ["nowhere", "group1/tool", "group", "group1/sub9", "README"])
def test_missing_directory(in_process: InProcess, server: GitServer, name: str) -> None:
    """A directory that is not there, or is a file, is named before any file is fetched."""
    server.requests.clear()
    with pytest.raises(PathNotFoundError, match=name):
        in_process(source(server.url, "group1", name, ref={"branch": "main"}))
    assert len(server.requests) == 2
