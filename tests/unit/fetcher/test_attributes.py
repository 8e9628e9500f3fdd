"""Attributes and patterns of hostile trees: everything takes its time, and no more."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from flow_fetcher.sources.git.attributes import Attributes
from flow_fetcher.sources.git.glob import compile_pattern

WANTED = frozenset({b"text"})


def test_pattern_of_many_stars() -> None:
    """What would make a backtracking matcher try for ever is answered at once."""
    for pattern, path in (
        (b"*a" * 200 + b"*b", b"a" * 255),
        (b"**/a*a/" * 40 + b"**/*a*a*b", b"aaa/" * 300 + b"aaaa"),
        (b"/**/*a*/**/*a*/**/*b", b"aaa/" * 300 + b"aaaa"),
    ):
        assert compile_pattern(pattern)[0].fullmatch(path) is None


@given(
    st.lists(st.sampled_from([b"*", b"**/", b"/", b"a", b"b", b"?", b"[!a]", b"ab"]), min_size=1),
    st.lists(st.sampled_from([b"a", b"b", b"/"]), max_size=9),
)
def test_stars_are_tried_as_often_as_it_matters(pattern: list[bytes], path: list[bytes]) -> None:
    """Without its shortcuts the expression matches the same paths."""
    whole = b"".join(pattern)
    if whole.endswith(b"/") or whole.count(b"*") > 6:
        return
    fast = compile_pattern(whole)[0]
    slow = re.compile(fast.pattern.replace(b"(?>", b"(?:"), re.DOTALL)
    text = b"".join(path)
    assert bool(fast.fullmatch(text)) == bool(slow.fullmatch(text))


def test_macros_of_macros() -> None:
    """A macro may stand for others, however deep."""
    chain = b"".join(b"[attr]m%d m%d\n" % (n, n + 1) for n in range(5000))
    attributes = Attributes({b"": chain + b"[attr]m5000 text\n* m0\n"}, WANTED)
    assert attributes.of(b"f")[b"text"] is True
    assert Attributes({b"": b"[attr]a b\n[attr]b a\n* a text\n"}, WANTED).of(b"f")[b"text"] is True
