"""A plan is read in full or refused with the name of the field."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_fetcher.errors import InvalidPlanError
from flow_fetcher.plan import parse_plan
from flow_fetcher.sources import open_source

GIT = {"type": "git", "git": {"url": "https://git.example/acme/flows.git"}}


def plan(**fields: Any) -> bytes:
    return json.dumps({"version": 1, "source": GIT, **fields}).encode()


def git(**fields: Any) -> dict[str, Any]:
    return {"source": {"type": "git", "git": {**GIT["git"], **fields}}}  # type: ignore[dict-item]


def s3(**fields: Any) -> dict[str, Any]:
    return {"source": {"type": "s3", "s3": {"bucket": "flows", **fields}}}


def test_smallest_plan() -> None:
    """Everything but version and source has a default."""
    read = parse_plan(plan())
    assert read.revision is None
    assert read.secret_name is None
    assert read.working_directory == ""
    assert read.entrypoint is None
    assert read.parameters == {}
    assert read.message_budget == 4096


def test_digest_tells_plans_apart() -> None:
    """A marker of one plan does not count for another."""
    assert parse_plan(plan()).digest == parse_plan(plan()).digest
    assert parse_plan(plan()).digest != parse_plan(plan(parameters={"a": 1})).digest


@pytest.mark.parametrize(
    ("text", "file", "module"),
    [
        ("flow.py:main", "flow.py", None),
        ("./etl//nightly.py:main", "etl/nightly.py", None),
        ("odd name: x.py:main", "odd name: x.py", None),
        ("etl.nightly:main", None, "etl.nightly"),
        ("étl:größe", None, "étl"),
    ],
)
def test_entrypoint(text: str, file: str | None, module: str | None) -> None:
    """An entrypoint names a function in a file or in a module."""
    entrypoint = parse_plan(plan(entrypoint=text)).entrypoint
    assert entrypoint is not None
    assert (entrypoint.text, entrypoint.file, entrypoint.module) == (text, file, module)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"version": 0}, "version"),
        ({"version": "1"}, "version"),
        ({"version": True}, "version"),
        ({"source": None}, "source"),
        ({"source": []}, "source"),
        ({"source": {}}, "source.type"),
        ({"source": {"type": "ftp"}}, "source.type"),
        ({"source": {"type": "git"}}, "source.git.url"),
        ({"source": {"type": "git", "git": "x"}}, "source.git"),
        ({"revision": 7}, "revision"),
        ({"revision": "main"}, "revision"),
        ({"secretName": ["a"]}, "secretName"),
        ({"workingDirectory": "../up"}, "workingDirectory"),
        ({"workingDirectory": "/etc"}, "workingDirectory"),
        ({"workingDirectory": "a\0b"}, "workingDirectory"),
        ({"entrypoint": "flow.py"}, "entrypoint"),
        ({"entrypoint": "../flow.py:main"}, "entrypoint"),
        ({"entrypoint": "/flow.py:main"}, "entrypoint"),
        ({"entrypoint": "flow.py:not a name"}, "entrypoint"),
        ({"entrypoint": "a/b:main"}, "entrypoint"),
        ({"parameters": [1]}, "parameters"),
        ({"messageBudget": 10}, "messageBudget"),
        ({"messageBudget": 1 << 40}, "messageBudget"),
        ({"messageBudget": 1000.5}, "messageBudget"),
        (git(url="git@github.com:acme/flows.git"), "source.git.url"),
        (git(url="ssh://git.example/x"), "source.git.url"),
        (git(url="https://ada:pw@git.example/x"), "source.git.url"),
        (git(url="https://git.example:port/x"), "source.git.url"),
        (git(url="https:///x"), "source.git.url"),
        (git(url="https://[::1"), "source.git.url"),
        (git(url="https://git.example/x?y=1"), "source.git.url"),
        (git(url="https://git.example/x y"), "source.git.url"),
        (git(url="http://git.example/x") | {"secretName": "s"}, "source.git.url"),
        (git(ref={"branch": "a", "tag": "b"}), "source.git.ref.tag"),
        (git(ref={"branch": "a b"}), "source.git.ref.branch"),
        (git(ref={"branch": "a..b"}), "source.git.ref.branch"),
        (git(ref={"branch": "-x"}), "source.git.ref.branch"),
        (git(ref={"branch": "a\nb"}), "source.git.ref.branch"),
        (git(ref={"commit": "abc123"}), "source.git.ref.commit"),
        (git(ref={"name": "heads/main"}), "source.git.ref.name"),
        (git(provider="sourceforge"), "source.git.provider"),
        (git(insecure="yes"), "source.git.insecure"),
        (s3(bucket=""), "source.s3.bucket"),
        (s3(bucket="a/b"), "source.s3.bucket"),
        (s3(prefix="a/../b"), "source.s3.prefix"),
        (s3(prefix="a//b"), "source.s3.prefix"),
        (s3(endpoint="minio:9000"), "source.s3.endpoint"),
        (s3(endpoint="https://[::1"), "source.s3.endpoint"),
        (s3(endpoint="https://minio:port"), "source.s3.endpoint"),
        (s3(endpoint="https://u:p@minio"), "source.s3.endpoint"),
        (s3(endpoint="http://minio") | {"secretName": "s"}, "source.s3.endpoint"),
        (s3() | {"revision": "main"}, "revision"),
    ],
)
def test_wrong_field_is_named(fields: dict[str, Any], named: str) -> None:
    """The message names the field, never a password in it, and there is a remedy."""
    with pytest.raises(InvalidPlanError) as caught:
        open_source(parse_plan(plan(**fields)))
    assert f"field {named}:" in caught.value.message
    assert caught.value.remedy
    assert "pw" not in caught.value.message


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b"null", b'{"version": NaN}', b"\xff", b"[" * 100_000, b"1" * 5000],
)
def test_what_is_no_plan(raw: bytes) -> None:
    """Anything else than an object in JSON is refused in words."""
    with pytest.raises(InvalidPlanError):
        parse_plan(raw)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=10,
)
FIELDS = ["version", "run", "source", "revision", "secretName", "workingDirectory", "entrypoint"]


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*FIELDS, "parameters", "messageBudget"]), json_values))
def test_no_plan_breaks_the_reader(fields: dict[str, Any]) -> None:
    """Whatever the JSON holds, the answer is a plan or one of our errors."""
    with contextlib.suppress(InvalidPlanError):
        open_source(parse_plan(json.dumps({"version": 1, "source": GIT, **fields}).encode()))


@settings(deadline=None)
@given(
    st.sampled_from(
        ["url", "ref", "provider", "insecure", "bucket", "prefix", "endpoint", "region"]
    ),
    json_values,
)
def test_no_source_breaks_the_reader(key: str, value: Any) -> None:
    """The same holds for what the sources read."""
    for fields in (git(**{key: value}), s3(**{key: value})):
        with contextlib.suppress(InvalidPlanError):
            open_source(parse_plan(plan(**fields)))
