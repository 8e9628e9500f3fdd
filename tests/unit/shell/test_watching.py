"""What a watch tells is left out where nothing of it is decided on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flow_operator.shell.cluster import JOBS
from flow_operator.shell.store import Store
from flow_operator.shell.watching import only_newer
from tests.unit.shell.objects import job


@pytest.fixture
def store() -> Store:
    store = Store(lambda _: None)
    store.saw(JOBS, job("a", 5, "etl-1"))
    return store


def line(kind: str, manifest: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": manifest}, separators=(",", ":")).encode()


def test_what_others_note_on_an_object_is_left_out(store: Store) -> None:
    """The Job controller counts Pods; who wrote which field is of interest to nobody here."""
    counted = job("a", 7, "etl-1")
    counted["status"] |= {"active": 1, "ready": 0, "startTime": "2026-11-23T06:00:01Z"}
    counted["metadata"]["managedFields"] = [{"manager": "kube-controller-manager"}]
    newer = only_newer(store, "jobs", line("MODIFIED", counted))
    assert newer
    assert (newer[0].name, newer[0].version) == ("a", 7)


@pytest.mark.parametrize(
    ("kind", "manifest"),
    [
        ("MODIFIED", job("a", 7, "etl-1", "Complete")),
        ("MODIFIED", job("a", 7, "etl-1", suspend=True)),
        ("MODIFIED", job("unknown", 7, "etl-1")),
        ("MODIFIED", job("a", 7, "etl-1") | {"metadata": job("b", 7, "x")["metadata"]}),
        ("ADDED", job("a", 7, "etl-1")),
        ("DELETED", job("a", 7, "etl-1")),
    ],
)
def test_everything_else_is_told(store: Store, kind: str, manifest: dict[str, Any]) -> None:
    assert only_newer(store, "jobs", line(kind, manifest)) is None


def test_what_is_no_object_of_ours_is_told(store: Store) -> None:
    assert only_newer(store, "jobs", b'{"type":"ERROR","object":{"code":410}}') is None
    assert only_newer(store, "namespaces", line("MODIFIED", job("a", 7, "etl-1"))) is None
