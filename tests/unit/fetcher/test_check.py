"""What the main container will miss is found, and what it may find elsewhere is left to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flow_fetcher.check import check_tree
from flow_fetcher.errors import EntrypointNotFoundError, PathNotFoundError
from flow_fetcher.plan import Plan, parse_plan


def plan(**fields: Any) -> Plan:
    source = {"type": "git", "git": {"url": "https://git.example/x"}}
    return parse_plan(json.dumps({"version": 1, "source": source, **fields}).encode())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for path in (
        "flow.py",
        "etl/nightly.py",
        "pkg/__init__.py",
        "pkg/mod.py",
        "pkg/sub/__init__.py",
        "pkg/native.cpython-311-x86_64-linux-gnu.so",
        "pkg/namespace/inner.py",
        "docs/index.md",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    return tmp_path


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"entrypoint": "flow.py:main"},
        {"entrypoint": "etl/nightly.py:main"},
        {"entrypoint": "nightly.py:main", "workingDirectory": "etl"},
        {"entrypoint": "flow:main"},
        {"entrypoint": "pkg:main"},
        {"entrypoint": "pkg.mod:main"},
        {"entrypoint": "pkg.sub:main"},
        {"entrypoint": "pkg.native:main"},
        {"entrypoint": "pkg.namespace:main"},
        {"entrypoint": "pkg.namespace.inner:main"},
        {"entrypoint": "installed.package:main"},
        {"entrypoint": "json:loads"},
        {"entrypoint": "docs.of.an.installed.package:main"},
    ],
)
def test_found_or_left_to_the_runner(tree: Path, fields: dict[str, str]) -> None:
    """Files must be there; modules may come from anywhere but the tree's own packages."""
    check_tree(tree, plan(**fields))


@pytest.mark.parametrize(
    ("entrypoint", "missing", "similar"),
    [
        ("flw.py:main", "flw.py", "flow.py"),
        ("nightly.py:main", "nightly.py", "etl/nightly.py"),
        ("etl/nightli.py:main", "etl/nightli.py", "etl/nightly.py"),
        ("pkg.nod:main", "pkg/nod.py", "pkg/mod.py"),
        ("pkg.sub.deep:main", "pkg/sub/deep.py", ""),
    ],
)
def test_missing_entrypoint(tree: Path, entrypoint: str, missing: str, similar: str) -> None:
    """The file that is missing is named, and one that the user may have meant."""
    with pytest.raises(EntrypointNotFoundError) as caught:
        check_tree(tree, plan(entrypoint=entrypoint))
    assert repr(missing) in caught.value.message
    assert similar in caught.value.message
    assert "spec.entrypoint" in caught.value.remedy


@pytest.mark.parametrize(
    ("directory", "told"),
    [("elt", "etl"), ("flow.py", "not a directory"), ("zzzz", "there are: docs")],
)
def test_missing_working_directory(tree: Path, directory: str, told: str) -> None:
    """So is a working directory."""
    with pytest.raises(PathNotFoundError) as caught:
        check_tree(tree, plan(workingDirectory=directory))
    assert told in caught.value.message
    assert "spec.workingDirectory" in caught.value.remedy
