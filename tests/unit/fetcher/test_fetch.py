"""One fetch: what is tried again, and what a failing volume means for the user."""

from __future__ import annotations

import errno
import io
import json
from pathlib import Path
from typing import Any

import pytest

from flow_fetcher import fetch as module
from flow_fetcher.errors import FetchError
from flow_fetcher.log import Log, Report
from flow_fetcher.plan import parse_plan
from flow_fetcher.redact import Redactor
from flow_fetcher.sources import Fetch

PLAN = {"version": 1, "source": {"type": "git", "git": {"url": "https://git.example/x"}}}


class Source:
    """Fails as it is told to, then writes one file."""

    wanted_keys = "keys"

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def fetch(self, fetch: Fetch) -> str:
        self.calls += 1
        fetch.tree.write(b"half", b"of an attempt")
        (fetch.scratch / "left").write_text("x")
        if self.errors:
            raise self.errors.pop(0)
        fetch.tree.write(b"flow.py", b"1")
        return "abc"


def run(
    directory: Path, source: Source, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> dict[str, Any]:
    monkeypatch.setattr(module, "open_source", lambda plan: source)
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    redactor = Redactor()
    return module.fetch(
        parse_plan(json.dumps(PLAN).encode()),
        credentials=None,
        volume=directory,
        log=Log(redactor, stream=io.StringIO()),
        redactor=redactor,
        report=Report(),
        **options,
    )


def test_what_may_pass_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each try begins with an empty tree; nothing is left of the ones before."""
    source = Source(FetchError("a", transient=True), FetchError("b", transient=True))
    message = run(tmp_path, source, monkeypatch)
    assert (message["reason"], message["files"], source.calls) == ("Succeeded", 2, 3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home", "run", "src"]


@pytest.mark.parametrize(
    ("error", "patience"),
    [
        (FetchError("final"), 20.0),
        (FetchError("soon", transient=True), 0.1),
        (FetchError("later", transient=True, retry_after=60), 20.0),
    ],
)
def test_what_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: FetchError, patience: float
) -> None:
    """Final errors, the end of patience, a server that asks for more of it."""
    source = Source(error)
    with pytest.raises(FetchError) as caught:
        run(tmp_path, source, monkeypatch, patience=patience)
    assert caught.value is error
    assert source.calls == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, "full"),
        (errno.EDQUOT, "full"),
        (errno.EACCES, "cannot write"),
        (errno.EROFS, "cannot write"),
        (errno.EIO, "failed"),
    ],
)
def test_failing_volume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, told: str
) -> None:
    """A volume that is full, read-only or broken is said to be."""
    with pytest.raises(FetchError, match=told) as caught:
        run(tmp_path, Source(OSError(number, "x", "/flow/x")), monkeypatch)
    assert caught.value.reason == "FetchFailed"
    assert caught.value.remedy


def test_volume_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file where the volume should be is a matter of the Pod."""
    (tmp_path / "flow").write_text("")
    with pytest.raises(FetchError, match="volume") as caught:
        run(tmp_path / "flow", Source(), monkeypatch)
    assert caught.value.remedy
