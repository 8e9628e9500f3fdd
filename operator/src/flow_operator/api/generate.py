"""Writes what follows from the API's models: CRDs, the chart's copy of them, reference pages.

python -m flow_operator.api.generate           writes the files
python -m flow_operator.api.generate --check   exits 1 and names each file that differs
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from flow_operator.api import chart, reference
from flow_operator.api.crd import KINDS
from flow_operator.api.v1alpha1 import GROUP

HEADER = "# Generated from the models in flow_operator.api by `make generate`. Do not edit.\n"
CHART = Path("charts/flow-operator")
REFERENCE = Path("docs/reference")
VALUES_HEAD = f"""\
# Values of the Helm chart

{reference.GENERATED}

What `helm install --set` and a values file can change. A value that is not here is refused.
"""


def main(arguments: list[str] | None = None) -> int:
    """Write or check the generated files; return the exit code."""
    parser = argparse.ArgumentParser(prog="flow_operator.api.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a difference")
    parser.add_argument("--root", type=Path, default=Path(), help="the repository (default: here)")
    options = parser.parse_args(arguments)

    drifted = [path for path, text in generated(options.root) if _read(options.root / path) != text]
    for path in drifted:
        if options.check:
            sys.stderr.write(f"{path} has drifted from the API's models: run `make generate`\n")
        else:
            (options.root / path).parent.mkdir(parents=True, exist_ok=True)
            (options.root / path).write_text(dict(generated(options.root))[path], "utf-8")
            sys.stdout.write(f"wrote {path}\n")
    return 1 if options.check and drifted else 0


def generated(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield each generated file of the repository: its path below the root, and its text."""
    for kind in KINDS:
        crd = to_yaml(kind.to_manifest())
        yield Path(f"crds/{GROUP}_{kind.plural}.yaml"), HEADER + crd
        yield CHART / f"templates/crds/{kind.plural}.yaml", chart.template(kind, crd)
        yield REFERENCE / f"{kind.name.lower()}.md", reference.page(kind)
    values = (root / CHART / "values.yaml").read_text("utf-8")
    readme = (root / CHART / "README.md").read_text("utf-8")
    yield CHART / "README.md", chart.with_values_table(readme, values)
    table = chart.values_table(values)
    yield REFERENCE / "values.md", f"{VALUES_HEAD}\n{table}\n"


class _Dumper(yaml.SafeDumper):
    """YAML with lists below their key, and without anchors for what occurs twice."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent lists too."""
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything out."""
        return True


def to_yaml(document: dict[str, Any]) -> str:
    """Return the document as YAML, its keys in their order."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
