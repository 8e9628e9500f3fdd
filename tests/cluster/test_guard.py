"""The guard decides which clusters tests may touch."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster import guard


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLOW_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FLOW_TEST_KUBECONFIG", raising=False)
    monkeypatch.delenv("FLOW_TEST_CONTEXT", raising=False)


@pytest.mark.parametrize("context", ["flow-test", "kind-flow-test"])
def test_a_context_that_the_harness_made_is_allowed(tmp_path: Path, context: str) -> None:
    guard.check(tmp_path / "cache" / "cluster" / "kubeconfig", context)


@pytest.mark.parametrize("context", ["production", "kind-other", "flow-test-2", ""])
def test_any_other_context_is_refused(tmp_path: Path, context: str) -> None:
    with pytest.raises(guard.RefusedContextError, match="may not use"):
        guard.check(tmp_path / "cache" / "cluster" / "kubeconfig", context)


def test_our_name_in_somebody_elses_kubeconfig_is_refused(tmp_path: Path) -> None:
    with pytest.raises(guard.RefusedContextError):
        guard.check(tmp_path / "home" / ".kube" / "config", "flow-test")


def test_a_way_out_of_the_cache_is_refused(tmp_path: Path) -> None:
    with pytest.raises(guard.RefusedContextError):
        guard.check(tmp_path / "cache" / ".." / "config", "flow-test")


def test_the_context_that_was_named_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOW_TEST_KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("FLOW_TEST_CONTEXT", "staging")
    guard.check(tmp_path / "config", "staging")
    with pytest.raises(guard.RefusedContextError):
        guard.check(tmp_path / "config", "production")


def test_a_kubeconfig_without_a_named_context_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOW_TEST_KUBECONFIG", str(tmp_path / "config"))
    with pytest.raises(guard.RefusedContextError):
        guard.check(tmp_path / "config", "")
