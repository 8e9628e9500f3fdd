"""What a watch tells of an object is taken where it arrives; kopf hears of the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flow_operator.shell.watching import object_of
from tests.unit.shell.objects import job


def line(kind: str, manifest: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": manifest}, separators=(",", ":")).encode()


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED"])
def test_an_object_that_is_there_is_taken(kind: str) -> None:
    found = object_of("jobs", line(kind, job("a", 7, "etl-1")))
    assert found
    record, concern = found
    assert (record.kind, record.name, record.version) == ("Job", "a", 7)
    assert [key.name for key in concern.now + concern.later] == ["etl-1"]


@pytest.mark.parametrize(
    "told",
    [
        line("DELETED", job("a", 7, "etl-1")),
        b'{"type":"BOOKMARK","object":{"kind":"Job","metadata":{"resourceVersion":"9"}}}',
        b'{"type":"ERROR","object":{"code":410}}',
        b'{"type":"ADDED","object":{"metadata":{}}}',
        b'{"type":"MODIFIED","object":{"metadata"',
    ],
)
def test_kopf_hears_of_everything_else(told: bytes) -> None:
    """Of what is gone, so that it forgets it, and of what is wrong with a watch."""
    assert object_of("jobs", told) is None


def test_kopf_hears_of_other_kinds() -> None:
    assert object_of("namespaces", line("MODIFIED", job("a", 7, "etl-1"))) is None
