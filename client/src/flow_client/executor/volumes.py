"""Directories for the volumes of a Pod."""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flow_client.errors import UnsupportedError

Manifest = dict[str, Any]
Data = Mapping[str, Mapping[str, bytes]]

_FIELD = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


@dataclass(frozen=True)
class Sources:
    """What volumes and variables are filled from.

    Attributes:
        pod: The Pod, for the downward API.
        secrets, config_maps: Data by name, of the Pod's namespace.
    """

    pod: Manifest
    secrets: Data = field(default_factory=dict)
    config_maps: Data = field(default_factory=dict)

    def keys(self, kind: str, name: str, *, optional: bool) -> Mapping[str, bytes] | None:
        """Return the data of a Secret or ConfigMap; None if it is missing and may be.

        Raises:
            UnsupportedError: It is missing. A cluster would wait for it; nothing comes here.
        """
        found = (self.secrets if kind == "Secret" else self.config_maps).get(name)
        if found is None and not optional:
            raise UnsupportedError(
                f"{kind} {name!r} is not in the files given, and it is not optional: add it with -f"
            )
        return found

    def field_ref(self, path: str) -> str:
        """Return a field of the Pod, as the downward API does."""
        metadata = self.pod["metadata"]
        if match := _FIELD.fullmatch(path):
            return str((metadata.get(match[1]) or {}).get(match[2], ""))
        fields: dict[str, str] = {
            "metadata.name": metadata["name"],
            "metadata.namespace": metadata["namespace"],
            "metadata.uid": metadata["uid"],
            "spec.serviceAccountName": self.pod["spec"].get("serviceAccountName", "default"),
            "spec.nodeName": "localhost",
            "status.hostIP": "127.0.0.1",
            "status.podIP": "127.0.0.1",
        }
        if path not in fields:
            raise UnsupportedError(f"fieldRef {path} has no value without a cluster")
        return fields[path]


class Volumes:
    """The directories of a Pod's volumes, one below another that is private to the user."""

    def __init__(self, root: Path, sources: Sources) -> None:
        """Make and fill the directory of each volume.

        Raises:
            UnsupportedError: A volume is of a kind that only a cluster has.
        """
        self._root = root
        self._volumes: list[Manifest] = sources.pod["spec"].get("volumes") or []
        root.mkdir()
        for volume in self._volumes:
            directory = self.path(volume["name"])
            directory.mkdir()
            _fill(directory, volume, sources)

    def path(self, name: str) -> Path:
        """Return the directory of a volume."""
        return self._root / name

    def remove_secrets(self, still_mounted: set[str]) -> None:
        """Delete the volumes with Secrets in them that no container to come mounts."""
        for volume in self._volumes:
            if volume["name"] not in still_mounted and _holds_secrets(volume):
                shutil.rmtree(self.path(volume["name"]), ignore_errors=True)


def _fill(directory: Path, volume: Manifest, sources: Sources) -> None:
    kinds = volume.keys() - {"name"}
    if not kinds or "emptyDir" in kinds:
        return
    if "projected" in volume:
        for source in volume["projected"].get("sources") or []:
            _fill(directory, {"name": volume["name"], **source}, sources)
    elif "secret" in volume:
        secret = volume["secret"]
        name = secret.get("secretName") or secret.get("name")
        _write(directory, secret, "Secret", name, sources)
    elif "configMap" in volume:
        config_map = volume["configMap"]
        _write(directory, config_map, "ConfigMap", config_map["name"], sources)
    elif "downwardAPI" in volume:
        for item in volume["downwardAPI"].get("items") or []:
            if "fieldRef" not in item:
                raise UnsupportedError(f"volume {volume['name']}: resourceFieldRef needs a cluster")
            text = sources.field_ref(item["fieldRef"]["fieldPath"])
            _file(directory, item["path"], text.encode(), item.get("mode", 0o644))
    else:
        raise UnsupportedError(
            f"volume {volume['name']}: {', '.join(sorted(kinds))} needs a cluster"
        )


def _write(directory: Path, spec: Manifest, kind: str, name: str, sources: Sources) -> None:
    optional = spec.get("optional", False)
    data = sources.keys(kind, name, optional=optional)
    if data is None:
        return
    mode = spec.get("defaultMode", 0o644)
    items = spec.get("items") or [{"key": key, "path": key} for key in data]
    for item in items:
        if item["key"] in data:
            _file(directory, item["path"], data[item["key"]], item.get("mode", mode))
        elif not optional:
            raise UnsupportedError(f"{kind} {name!r} has no key {item['key']!r}")


def _file(directory: Path, path: str, content: bytes, mode: int) -> None:
    file = directory / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_bytes(content)
    file.chmod(mode | 0o400)


def _holds_secrets(volume: Manifest) -> bool:
    sources = [volume, *(volume.get("projected") or {}).get("sources", [])]
    return any("secret" in source for source in sources)
