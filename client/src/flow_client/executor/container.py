"""Turns the spec of a container into a command, its environment and its paths on this machine."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flow_client.errors import UnsupportedError
from flow_client.executor.host import Host
from flow_client.executor.volumes import Sources, Volumes

Manifest = dict[str, Any]

TERMINATION_LOG = "/dev/termination-log"
_REFERENCE = re.compile(r"\$(?:\$|\(([^()]+)\))")


@dataclass(frozen=True)
class Invocation:
    """All that it takes to start a container as a process.

    Attributes:
        argv, environment, directory: What the process gets.
        make: Directories that must exist first, as a container runtime makes them.
    """

    argv: list[str]
    environment: dict[str, str]
    directory: Path
    make: tuple[Path, ...]


def prepare(
    container: Manifest, volumes: Volumes, sources: Sources, host: Host, *, message: Path
) -> Invocation:
    """Return how to start a container here.

    An argument, the working directory or a variable that is the path of a mount, or lies below one,
    becomes a path in the volume's directory. A path inside a longer text stays as it is.

    Args:
        container: Its spec.
        volumes: The directories of the Pod's volumes.
        sources: What variables come from.
        host: What stands for its image.
        message: The file for its termination message.

    Raises:
        UnsupportedError: It needs something that only a cluster or its image has.
    """
    name = container["name"]
    if not container.get("command"):
        raise UnsupportedError(f"container {name}: without its image it needs a command")
    paths = {container.get("terminationMessagePath", TERMINATION_LOG): message}
    make = []
    for mount in container.get("volumeMounts") or []:
        if "subPathExpr" in mount:
            raise UnsupportedError(f"container {name}: subPathExpr needs a cluster")
        directory = volumes.path(mount["name"]) / mount.get("subPath", "")
        make.append(directory)
        paths[mount["mountPath"].rstrip("/") or "/"] = directory

    # References are resolved before paths are: both sides of `$(HOME)/x` are the container's.
    variables = _variables(container, sources)
    environment = {**host.base_environment()}
    environment |= {key: locate(value, paths) for key, value in variables.items()}
    argv = [*container["command"], *(container.get("args") or [])]
    argv = [locate(expand(argument, variables), paths) for argument in argv]
    directory = volumes.path("")
    if container.get("workingDir"):
        directory = Path(locate(container["workingDir"], paths))
        if directory != Path(container["workingDir"]):
            make.append(directory)
    return Invocation(host.command(argv), environment, directory, tuple(make))


def locate(text: str, paths: Mapping[str, Path]) -> str:
    """Return where a container's path is on this machine; any other text stays as it is."""
    for mount in sorted(paths, key=len, reverse=True):
        if text == mount or text.startswith(f"{mount.rstrip('/')}/"):
            return str(paths[mount]) + text[len(mount.rstrip("/")) :]
    return text


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` as Kubernetes does: `$$` is a dollar, an unknown name stays."""

    def value(match: re.Match[str]) -> str:
        return "$" if match[1] is None else variables.get(match[1], match[0])

    return _REFERENCE.sub(value, text)


def _variables(container: Manifest, sources: Sources) -> dict[str, str]:
    variables: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        for kind, key in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if key in source:
                optional = source[key].get("optional", False)
                data = sources.keys(kind, source[key]["name"], optional=optional) or {}
                prefix = source.get("prefix", "")
                variables |= {prefix + name: text.decode() for name, text in data.items()}
    for variable in container.get("env") or []:
        if "valueFrom" in variable:
            value = _value_from(variable["name"], variable["valueFrom"], sources)
        else:
            value = expand(variable.get("value") or "", variables)
        if value is not None:
            variables[variable["name"]] = value
    return variables


def _value_from(name: str, source: Manifest, sources: Sources) -> str | None:
    if "fieldRef" in source:
        return sources.field_ref(source["fieldRef"]["fieldPath"])
    for kind, key in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
        if key in source:
            wanted = source[key]
            optional = wanted.get("optional", False)
            data = sources.keys(kind, wanted["name"], optional=optional) or {}
            if wanted["key"] in data:
                return data[wanted["key"]].decode()
            if optional:
                return None
            raise UnsupportedError(f"{kind} {wanted['name']!r} has no key {wanted['key']!r}")
    raise UnsupportedError(f"env {name}: {', '.join(source)} needs a cluster")
