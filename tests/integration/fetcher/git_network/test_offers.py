"""Servers and repositories with less to offer than usual."""

from __future__ import annotations

from pathlib import Path

import pytest

from flow_fetcher.errors import FetchError, SourceUnreachableError
from tests.integration.fetcher.conftest import InProcess
from tests.integration.fetcher.git_network.conftest import source
from tests.servers.git import GitServer
from tests.servers.meddler import Answer, Meddler
from tests.servers.repository import Repository


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
