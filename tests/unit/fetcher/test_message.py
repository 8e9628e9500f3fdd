"""The termination message fits its budget, whatever it says, and the reason always arrives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_fetcher.message import build_message, encode_message, write_message

text = st.text(st.characters(exclude_categories=()), max_size=3000)


@settings(deadline=None)
@given(text, text, st.integers(min_value=256, max_value=4096))
def test_budget(message: str, remedy: str, budget: int) -> None:
    """It is JSON of at most the budget, with the reason; what fits is not changed."""
    fields = build_message("FetchFailed", message=message, remedy=remedy)
    encoded = encode_message(fields, budget)
    assert len(encoded) <= budget
    read = json.loads(encoded.decode())
    assert read["reason"] == "FetchFailed"
    whole = json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace")
    if len(whole) <= budget:
        assert list(read) == list(fields)
        assert read["message"] == message.encode("utf-8", "replace").decode()


def test_message_is_shortened_before_the_remedy() -> None:
    """The remedy stays whole as long as the message can give way."""
    fields = build_message(
        "FetchFailed", message="ü" * 5000, remedy="do this", seconds={"total": 1}
    )
    read = json.loads(encode_message(fields, 500))
    assert read["message"].startswith("ü" * 50)
    assert read["message"].endswith("…")
    assert (read["remedy"], read["seconds"]) == ("do this", {"total": 1})
    assert len(encode_message(fields, 500)) >= 490


@pytest.mark.parametrize("budget", [0, 1, 2, 10, 60])
def test_hopeless_budget(budget: int) -> None:
    """Even then it is JSON."""
    encoded = encode_message(build_message("FetchFailed", message="x" * 100), budget)
    assert isinstance(json.loads(encoded), dict)


def test_written_in_place(tmp_path: Path) -> None:
    """The kubelet mounts the file: it is written, not replaced."""
    path = tmp_path / "termination-log"
    path.write_text("something longer than the message")
    inode = path.stat().st_ino
    write_message(path, b"{}")
    assert path.read_bytes() == b"{}"
    assert path.stat().st_ino == inode
