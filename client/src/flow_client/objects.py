"""Reads Kubernetes manifests as kubectl does, and refuses what the API server would refuse."""

import base64
import binascii
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from flow_client.errors import ManifestError
from flow_operator.api.v1alpha1 import GROUP
from flow_operator.api.validate import validate

Manifest = dict[str, Any]
FLOW_KINDS = ("FlowDeployment", "FlowRun")


class _Loader(yaml.SafeLoader):
    """YAML as kubectl reads it: a date stays text, because JSON has none."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as the base class has it
        first: [(tag, regexp) for tag, regexp in known if tag != "tag:yaml.org,2002:timestamp"]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


@dataclass
class Objects:
    """The objects of the given files, by namespace and name.

    Attributes:
        deployments, runs: Manifests of FlowDeployments and FlowRuns, valid.
        secrets, config_maps: Their data, decoded.
        ignored: `Kind name` of everything that a local run has no use for.
    """

    deployments: dict[tuple[str, str], Manifest] = field(default_factory=dict)
    runs: dict[tuple[str, str], Manifest] = field(default_factory=dict)
    secrets: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)
    config_maps: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)


def read_objects(files: Iterable[str], namespace: str = "default") -> Objects:
    """Return the objects in these YAML or JSON files; `-` is standard input.

    Args:
        files: Paths of the files.
        namespace: Namespace of objects that name none.

    Raises:
        ManifestError: A file or an object in it is not what it should be. All problems of all
            files come in one message, each with the field.
    """
    objects = Objects()
    problems: list[str] = []
    for file in files:
        for manifest in _items(_parse(file)):
            problems += [f"{file}: {problem}" for problem in _add(objects, manifest, namespace)]
    if problems:
        raise ManifestError("\n".join(problems))
    return objects


def _parse(file: str) -> list[Any]:
    name = "standard input" if file == "-" else file
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        return list(yaml.load_all(text, Loader=_Loader))
    except OSError as error:
        raise ManifestError(f"{name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ManifestError(f"{name}: is not UTF-8 text") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be read"
        raise ManifestError(f"{name}:{where} not YAML: {problem}") from None


def _items(documents: Iterable[Any]) -> Iterator[Any]:
    for document in documents:
        if document is None:
            continue
        if isinstance(document, dict) and document.get("kind") == "List":
            yield from document.get("items") or []
        else:
            yield document


def _add(objects: Objects, manifest: Any, namespace: str) -> list[str]:
    """Put one object where it belongs, or return what is wrong with it."""
    if not isinstance(manifest, dict) or not isinstance(manifest.get("kind"), str):
        return ["an object without kind: every document must be a Kubernetes manifest"]
    kind, metadata = manifest["kind"], manifest.get("metadata")
    if not isinstance(metadata, dict):
        return [f"{kind}: metadata: is required"]
    if kind == "FlowRun" and "name" not in metadata and metadata.get("generateName"):
        metadata = {**metadata, "name": f"{metadata['generateName']}local"}
    label = f"{kind} {metadata.get('name', '')}".strip()
    group = str(manifest.get("apiVersion")).partition("/")[0]
    if kind in FLOW_KINDS and group == GROUP:
        manifest = {**manifest, "metadata": metadata}
        if problems := validate(kind, manifest):
            return [f"{label}: {problem}" for problem in problems]
    elif kind not in ("Secret", "ConfigMap") or manifest.get("apiVersion") != "v1":
        if group == GROUP:
            return [f"{label}: kind: there is no such kind; there are {', '.join(FLOW_KINDS)}"]
        objects.ignored.append(label)
        return []
    metadata.setdefault("namespace", namespace)
    key = (str(metadata["namespace"]), str(metadata.get("name")))
    if kind == "FlowDeployment":
        objects.deployments[key] = manifest
    elif kind == "FlowRun":
        objects.runs[key] = manifest
    else:
        try:
            target = objects.secrets if kind == "Secret" else objects.config_maps
            target[key] = _data(manifest)
        except ValueError as error:
            return [f"{label}: {error}"]
    return []


def _data(manifest: Manifest) -> dict[str, bytes]:
    """Return the keys of a Secret or ConfigMap; no value is ever part of an error."""
    data = {}
    encoded = "data" if manifest["kind"] == "Secret" else "binaryData"
    plain = "stringData" if manifest["kind"] == "Secret" else "data"
    for name, is_encoded in ((encoded, True), (plain, False)):
        values = manifest.get(name) or {}
        if not isinstance(values, dict):
            raise ValueError(f"{name}: must be a map of strings")
        for key, value in values.items():
            if not isinstance(value, str):
                raise ValueError(f"{name}.{key}: must be a string; quote it")
            try:
                data[key] = base64.b64decode(value, validate=True) if is_encoded else value.encode()
            except binascii.Error:
                hint = f"; plain text goes into {plain}" if plain != encoded else ""
                raise ValueError(f"{name}.{key}: is not base64{hint}") from None
    return data
