"""What is on the volume is complete and marked, or not there; nothing found there is trusted."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from flow_fetcher.plan import Plan, parse_plan
from flow_fetcher.publish import Volume, runner

MESSAGE = {"version": 1, "reason": "Succeeded", "revision": "abc"}


def plan(**fields: Any) -> Plan:
    source = {"type": "git", "git": {"url": "https://git.example/x"}}
    return parse_plan(json.dumps({"version": 1, "source": source, **fields}).encode())


def publish(root: Path, made: Plan, content: str = "new") -> None:
    volume = Volume(root)
    with volume.staging() as staging:
        tree = staging / "src"
        tree.mkdir()
        (tree / "flow.py").write_text(content)
        volume.publish(tree, made, "abc", MESSAGE)


def test_published(tmp_path: Path) -> None:
    """The marker counts for the plan that it was made for."""
    made = plan()
    assert Volume(tmp_path).published(made) is None
    publish(tmp_path, made)
    assert Volume(tmp_path).published(made) == MESSAGE
    assert Volume(tmp_path).published(plan(revision="0" * 40)) is None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home", "run", "src"]
    assert (tmp_path / "run/runner.py").read_bytes() == runner()
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o777


@pytest.mark.parametrize("gone", ["src", "run/runner.py", "run/context.json", "run/fetched.json"])
def test_incomplete(tmp_path: Path, gone: str) -> None:
    """A marker does not stand for what has been removed since."""
    publish(tmp_path, plan())
    path = tmp_path / gone
    path.rename(tmp_path / "elsewhere")
    assert Volume(tmp_path).published(plan()) is None


@pytest.mark.parametrize(
    "marker",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"planDigest": 1}',
        b'{"planDigest": "DIGEST"}',
        b'{"planDigest": "DIGEST", "message": []}',
        b'{"planDigest": "DIGEST", "message": {"reason": "FetchFailed"}}',
        b"[" * 20_000,
    ],
)
def test_foreign_marker(tmp_path: Path, marker: bytes) -> None:
    """A marker that says anything else is none."""
    publish(tmp_path, plan())
    (tmp_path / "run/fetched.json").write_bytes(marker.replace(b"DIGEST", plan().digest.encode()))
    assert Volume(tmp_path).published(plan()) is None


def test_marker_that_is_no_file(tmp_path: Path) -> None:
    """A pipe, a link or a directory in its place neither blocks nor deceives."""
    publish(tmp_path, plan())
    marker = tmp_path / "run/fetched.json"
    content = marker.read_bytes()
    marker.unlink()
    os.mkfifo(marker)
    assert Volume(tmp_path).published(plan()) is None
    marker.unlink()
    (tmp_path / "forged").write_bytes(content)
    marker.symlink_to("../forged")
    assert Volume(tmp_path).published(plan()) is None
    marker.unlink()
    marker.mkdir()
    assert Volume(tmp_path).published(plan()) is None
    publish(tmp_path, plan())
    assert Volume(tmp_path).published(plan()) == MESSAGE


def test_whatever_lies_there_is_replaced(tmp_path: Path) -> None:
    """An earlier main container may have put links in our places: nothing is written through."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("untouched")
    root = tmp_path / "flow"
    root.mkdir()
    for name in ("src", "run", "home", ".fetching"):
        (root / name).symlink_to(outside)
    publish(root, plan())
    assert [p.name for p in outside.iterdir()] == ["file"]
    assert stat.S_IMODE(outside.stat().st_mode) == 0o755
    for name in ("src", "run", "home"):
        assert not (root / name).is_symlink()
    (root / "run/runner.py").unlink()
    (root / "run/runner.py").symlink_to(outside / "file")
    (root / "run/.context.json.new").symlink_to(outside / "file")
    publish(root, plan())
    assert (outside / "file").read_text() == "untouched"


def test_tree_is_replaced_whole(tmp_path: Path) -> None:
    """Nothing of an earlier tree stays."""
    publish(tmp_path, plan(), "old")
    (tmp_path / "src/left.py").write_text("x")
    publish(tmp_path, plan(revision="0" * 40), "new")
    assert [p.name for p in (tmp_path / "src").iterdir()] == ["flow.py"]
    assert (tmp_path / "src/flow.py").read_text() == "new"
    assert not (tmp_path / ".fetching").exists()


@pytest.mark.parametrize("step", range(12))
def test_crash_at_any_step(tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it ends, there is a valid marker with its tree, or no marker at all."""
    publish(tmp_path, plan(revision="1" * 40), "old")
    calls = iter(range(100))

    class Crash(BaseException):
        pass

    def crashing(function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if next(calls) == step:
                raise Crash
            return function(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        patch.setattr("flow_fetcher.publish.os.rename", crashing(os.rename))
        patch.setattr("flow_fetcher.publish._remove", crashing(_remove_now))
        with contextlib.suppress(Crash):
            publish(tmp_path, plan(revision="2" * 40), "new")
    for revision, content in (("1" * 40, "old"), ("2" * 40, "new")):
        if Volume(tmp_path).published(plan(revision=revision)):
            assert (tmp_path / "src/flow.py").read_text() == content
    publish(tmp_path, plan(revision="2" * 40), "new")
    assert (tmp_path / "src/flow.py").read_text() == "new"
    assert Volume(tmp_path).published(plan(revision="2" * 40)) == MESSAGE
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home", "run", "src"]


def _remove_now(path: Path) -> None:
    import shutil

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
