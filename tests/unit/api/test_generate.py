"""What is generated is in step with its sources, and a drift is named."""

import shutil
from pathlib import Path

import pytest
import yaml

from flow_operator.api import chart
from flow_operator.api.generate import generated, main
from flow_operator.api.reference import EXAMPLES
from flow_operator.api.validate import validate

ROOT = Path(__file__).parents[3]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the repository, as far as the generator sees it."""
    for folder in ("crds", "charts", "docs/reference"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


def test_generated_files_are_in_step(capsys: pytest.CaptureFixture[str]) -> None:
    """The files of this repository are what the generator writes."""
    assert main(["--check", "--root", str(ROOT)]) == 0, capsys.readouterr().err


def test_check_names_what_has_drifted_and_changes_nothing(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A changed file and a missing one are each named; neither is written."""
    changed = copy / "crds/flow-operator.io_flowruns.yaml"
    changed.write_text(changed.read_text() + "# edited\n")
    (copy / "docs/reference/flowrun.md").unlink()
    assert main(["--check", "--root", str(copy)]) == 1
    said = capsys.readouterr().err
    assert [line.split()[0] for line in said.splitlines()] == [
        "crds/flow-operator.io_flowruns.yaml",
        "docs/reference/flowrun.md",
    ]
    assert "make generate" in said
    assert changed.read_text().endswith("# edited\n")


def test_generating_repairs(copy: Path) -> None:
    """Without --check the files are written, and the next check is content."""
    shutil.rmtree(copy / "crds")
    (copy / "charts/flow-operator/templates/crds/flowruns.yaml").unlink()
    assert main(["--root", str(copy)]) == 0
    assert main(["--check", "--root", str(copy)]) == 0


def test_a_value_without_a_row_is_a_drift(copy: Path) -> None:
    """The README of the chart follows from values.yaml."""
    values = copy / "charts/flow-operator/values.yaml"
    values.write_text(values.read_text() + "\n# -- Something new.\nextra: 1\n")
    assert main(["--check", "--root", str(copy)]) == 1


def test_every_file_is_generated_once() -> None:
    """No two generators write one file."""
    paths = [path for path, _ in generated(ROOT)]
    assert len(paths) == len(set(paths)) == 8


def test_the_examples_of_the_reference_are_valid() -> None:
    """What the reference shows is accepted."""
    for model, text in EXAMPLES.items():
        assert validate(model.__name__, yaml.safe_load(text)) == []


def test_values_are_read_with_their_comments() -> None:
    """Nested keys, wrapped comments and defaults that are objects."""
    text = """\
# Not a description.
a:
  # -- First
  # and second line.
  b: 1
  c: 2
# -- An object.
d:
  e: [x]
"""
    assert chart.values(text) == [
        chart.Value("a.b", 1, "First and second line."),
        chart.Value("d", {"e": ["x"]}, "An object."),
    ]


def test_the_readme_needs_its_marks() -> None:
    """A README without the place for the table is an error, not a silent loss."""
    with pytest.raises(ValueError, match="values: begin"):
        chart.with_values_table("# Chart\n", "a: 1\n")
