"""The configuration is read strictly, and what is wrong with it is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from flow_operator.shell import config
from flow_operator.shell.config import VARIABLES, ConfigError, LeaseConfig, load_config

NAMED = {"FLOW_OPERATOR_LEASE": "operator", "FLOW_OPERATOR_LEASE_NAMESPACE": "system"}


def test_without_anything_the_defaults_hold() -> None:
    config = load_config({})
    assert config.namespaces == ()
    assert config.scopes == (None,)
    assert (config.workers, config.port) == (32, 8080)
    assert config.settings.default_image == "python:3.13-slim"


def test_namespaces_come_from_the_environment_or_the_command_line() -> None:
    environment = {"FLOW_OPERATOR_NAMESPACES": "b, a,,b"}
    assert load_config(environment).namespaces == ("b", "a")
    assert load_config(environment, ["c"]).scopes == ("c",)


def test_settings_come_from_the_named_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("defaultImage: python:3.12\nsetIDs: false\n")
    settings = load_config({"FLOW_OPERATOR_SETTINGS": str(file)}).settings
    assert settings.default_image == "python:3.12"
    assert settings.set_ids is False


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("defaultimage: x", "defaultimage: there is no such setting"),
        ("setIDs: [1]", "setIDs: Input should be a valid boolean"),
        ("- a", "must hold keys and values"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"FLOW_OPERATOR_SETTINGS: .*settings\.yaml: ") as caught:
        load_config({"FLOW_OPERATOR_SETTINGS": str(file)})
    assert words in str(caught.value)


def test_an_empty_or_missing_file_of_settings(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").touch()
    load_config({"FLOW_OPERATOR_SETTINGS": str(tmp_path / "empty.yaml")})
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_config({"FLOW_OPERATOR_SETTINGS": str(tmp_path / "none.yaml")})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FLOW_OPERATOR_PORT", "99999"),
        ("FLOW_OPERATOR_PORT", "http"),
        ("FLOW_OPERATOR_WORKERS", "0"),
        ("FLOW_OPERATOR_LOG_LEVEL", "loud"),
        ("FLOW_OPERATOR_LOG_FORMAT", "xml"),
        ("FLOW_OPERATOR_LEASE_SECONDS", "0"),
    ],
)
def test_a_wrong_variable_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        load_config(NAMED | {name: value})


def test_without_a_lease_there_is_no_election() -> None:
    """As on a laptop, where one process is enough."""
    assert load_config({"FLOW_OPERATOR_LEASE_SECONDS": "20"}).lease is None


def test_a_lease_is_stood_for_where_it_is_named() -> None:
    """By default it runs out after eight seconds."""
    assert load_config(NAMED).lease == LeaseConfig("system", "operator", 8)
    lease = load_config(NAMED | {"FLOW_OPERATOR_LEASE_SECONDS": "20"}).lease
    assert lease == LeaseConfig("system", "operator", 20)
    assert str(lease) == "Lease system/operator"


def test_the_leases_namespace_is_the_pods_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no Pod it has to be given."""
    monkeypatch.setattr(config, "_OWN_NAMESPACE", tmp_path / "namespace")
    with pytest.raises(ConfigError, match="FLOW_OPERATOR_LEASE_NAMESPACE: must be set"):
        load_config({"FLOW_OPERATOR_LEASE": "operator"})
    (tmp_path / "namespace").write_text("system\n")
    assert load_config({"FLOW_OPERATOR_LEASE": "operator"}).lease == LeaseConfig(
        "system", "operator"
    )


def test_every_variable_is_described() -> None:
    assert all(text for text in VARIABLES.values())
