"""What is generated for the Helm chart: its CRDs, and the table of its values."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from flow_operator.api.crd import Kind

_COMMENT = re.compile(r"^\s*# (-- )?(?P<text>.*)$")
_KEY = re.compile(r"^(?P<indent>\s*)(?P<key>[A-Za-z]\w*):")


def template(kind: Kind, crd: str) -> str:
    """Return the chart's template of a CRD: installed and kept as the values say.

    Args:
        kind: The kind that it is of.
        crd: The CRD as YAML.
    """
    if "{{" in crd:
        msg = f"the CRD of {kind.name} contains '{{{{', which Helm would take for a template"
        raise ValueError(msg)
    labels = "  labels:\n    app.kubernetes.io/part-of: flow-operator\n"
    return (
        "{{- /* Generated from the models in flow_operator.api by `make generate`. */ -}}\n"
        "{{- if .Values.crds.install }}\n"
        + crd.replace(
            labels,
            "  labels:\n"
            '    {{- include "flow-operator.labels" . | nindent 4 }}\n'
            "  {{- if .Values.crds.keep }}\n"
            "  annotations:\n"
            "    helm.sh/resource-policy: keep\n"
            "  {{- end }}\n",
            1,
        )
        + "{{- end }}\n"
    )


@dataclass(frozen=True)
class Value:
    """One value of the chart that has a description."""

    path: str
    default: Any
    description: str


def values(text: str) -> list[Value]:
    """Read the values of a chart with the `# --` comments above them."""
    return list(_values(text, yaml.safe_load(text)))


def _values(text: str, defaults: dict[str, Any]) -> Iterator[Value]:
    parents: list[tuple[int, str]] = []
    words: list[str] | None = None
    for line in text.splitlines():
        if comment := _COMMENT.match(line):
            if comment[1]:
                words = [comment["text"]]
            elif words is not None:
                words.append(comment["text"])
            continue
        if key := _KEY.match(line):
            depth = len(key["indent"])
            parents = [parent for parent in parents if parent[0] < depth] + [(depth, key["key"])]
            if words is not None:
                names = [name for _, name in parents]
                found: Any = defaults
                for name in names:
                    found = found[name]
                yield Value(".".join(names), found, " ".join(words))
        words = None


def values_table(text: str) -> str:
    """Return the values of a chart as a Markdown table."""
    rows = [
        f"| `{value.path}` | `{json.dumps(value.default)}` | {value.description} |"
        for value in values(text)
    ]
    return "\n".join(["| value | default | what |", "| --- | --- | --- |", *rows])


def with_values_table(readme: str, text: str) -> str:
    """Return the chart's README with the table of values put between its two marks."""
    begin, end = "<!-- values: begin -->", "<!-- values: end -->"
    before, found, rest = readme.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        msg = f"the chart's README needs the marks {begin} and {end}"
        raise ValueError(msg)
    return f"{before}{begin}\n\n{values_table(text)}\n\n{end}{after}"
