"""How the process is configured: environment variables, and one YAML file of settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import yaml
from pydantic import ValidationError

from flow_operator.core.settings import Settings

VARIABLES = {
    "FLOW_OPERATOR_SETTINGS": "YAML file of settings for the Pods of runs (default: none)",
    "FLOW_OPERATOR_NAMESPACES": "namespaces to serve, separated by commas (default: all)",
    "FLOW_OPERATOR_WORKERS": "how many objects are worked on at the same time (default: 32)",
    "FLOW_OPERATOR_PORT": "port of /healthz and /readyz; 0 for none (default: 8080)",
    "FLOW_OPERATOR_LEASE": "Lease by which one of several replicas leads (default: none)",
    "FLOW_OPERATOR_LEASE_NAMESPACE": "namespace of the Lease (default: the Pod's own)",
    "FLOW_OPERATOR_LEASE_SECONDS": "silence of a leader until another takes over (default: 8)",
    "FLOW_OPERATOR_LOG_LEVEL": "debug, info, warning or error (default: info)",
    "FLOW_OPERATOR_LOG_FORMAT": "text or json (default: text)",
}
"""The environment variables that the operator reads, and what they mean."""

LogFormat = Literal["text", "json"]

_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_LEVELS = ("debug", "info", "warning", "error")


class ConfigError(Exception):
    """The configuration cannot be used. The message names the variable or key, and the remedy."""


@dataclass(frozen=True, slots=True)
class LeaseConfig:
    """Which Lease is stood for.

    Attributes:
        namespace: Of the Lease.
        name: Of the Lease.
        seconds: After how long another process takes over from one that fell silent.
    """

    namespace: str
    name: str
    seconds: int = 8

    def __str__(self) -> str:
        return f"Lease {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The configuration of the process.

    Attributes:
        lease: By which one of several processes leads; None: this one always does.
    """

    settings: Settings
    namespaces: tuple[str, ...] = ()
    workers: int = 32
    port: int = 8080
    lease: LeaseConfig | None = None
    log_level: str = "info"
    log_format: LogFormat = "text"

    @property
    def scopes(self) -> tuple[str | None, ...]:
        """The namespaces to serve; one None stands for all of them."""
        return self.namespaces or (None,)


def load_config(environment: Mapping[str, str], namespaces: Sequence[str] = ()) -> Config:
    """Return the configuration; namespaces given here win over the environment's.

    Raises:
        ConfigError: A variable or a setting cannot be used.
    """
    named = namespaces or environment.get("FLOW_OPERATOR_NAMESPACES", "").split(",")
    level = _choice(environment, "FLOW_OPERATOR_LOG_LEVEL", "info", _LEVELS)
    log_format = _choice(environment, "FLOW_OPERATOR_LOG_FORMAT", "text", ("text", "json"))
    return Config(
        settings=_settings(environment.get("FLOW_OPERATOR_SETTINGS", "")),
        namespaces=tuple(dict.fromkeys(filter(None, (name.strip() for name in named)))),
        workers=_number(environment, "FLOW_OPERATOR_WORKERS", 32, 1, 256),
        port=_number(environment, "FLOW_OPERATOR_PORT", 8080, 0, 65535),
        lease=_lease(environment),
        log_level=level,
        log_format=cast("LogFormat", log_format),
    )


def _lease(environment: Mapping[str, str]) -> LeaseConfig | None:
    name = environment.get("FLOW_OPERATOR_LEASE")
    if not name:
        return None
    namespace = environment.get("FLOW_OPERATOR_LEASE_NAMESPACE")
    if not namespace:
        try:
            namespace = _OWN_NAMESPACE.read_text("utf-8").strip()
        except OSError as error:
            raise ConfigError(
                "FLOW_OPERATOR_LEASE_NAMESPACE: must be set where there is no ServiceAccount"
            ) from error
    seconds = _number(environment, "FLOW_OPERATOR_LEASE_SECONDS", 8, 1, 300)
    return LeaseConfig(namespace, name, seconds)


def _settings(path: str) -> Settings:
    if not path:
        return Settings()
    where = f"FLOW_OPERATOR_SETTINGS: {path}"
    try:
        document = yaml.safe_load(Path(path).read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{where}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: is not YAML: {error}") from error
    if document is None:
        return Settings()
    if not isinstance(document, dict):
        raise ConfigError(f"{where}: must hold keys and values, such as `defaultImage: python`")
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'])}: {_words(problem['msg'])}"
            for problem in error.errors(include_url=False, include_input=False)
        )
        raise ConfigError(f"{where}: {problems}") from error


def _words(message: str) -> str:
    return "there is no such setting" if message.startswith("Extra inputs") else message


def _choice(environment: Mapping[str, str], name: str, default: str, choices: Sequence[str]) -> str:
    value = (environment.get(name) or default).lower()
    if value not in choices:
        raise ConfigError(f"{name}: {value!r} is none of {', '.join(choices)}")
    return value


def _number(environment: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal() or not least <= int(text) <= most:
        raise ConfigError(f"{name}: {text!r} is not a number from {least} to {most}")
    return int(text)
