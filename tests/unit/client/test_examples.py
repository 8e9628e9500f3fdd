"""The examples work as they are written, but for the address of the repository."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from flow_client.choice import choose
from flow_client.objects import read_objects

from .conftest import Workspace

EXAMPLES = Path(__file__).parents[3] / "examples"
MANIFESTS = sorted(path.name for path in EXAMPLES.glob("*.yaml"))


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_api_server_would_take_it(name: str):
    """Each example is valid and complete: it has a run of its own or can have one."""
    assert choose(read_objects([str(EXAMPLES / name)]))


def local(name: str, workspace: Workspace) -> list[dict[str, Any]]:
    """Returns the manifests of an example, with the workspace's repository for the source."""
    manifests = [found for found in yaml.safe_load_all((EXAMPLES / name).read_text()) if found]
    for manifest in manifests:
        if manifest["kind"] == "FlowDeployment":
            url = f"{workspace.server.url}/flows.git"
            manifest["spec"]["source"] = {"git": {"url": url, "ref": {"branch": "main"}}}
    return manifests


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("hello.yaml", "Hello, Ada!\nHello, Ada!\nThis is revision {short}.\n"),
        *(
            (f"{store}.yaml", "Hello, world!\nThis is revision {short}.\n")
            for store in ("s3", "gcs", "azure", "fsspec")
        ),
        ("archive.yaml", "Berlin"),
        (
            "private-git.yaml",
            "Berlin         93.38 USD\nLisbon        243.60 USD\nOslo           11.48 USD\n"
            "total         348.46 USD\n",
        ),
        (
            "ssh.yaml",
            "Berlin         80.50 EUR\nLisbon        210.00 EUR\n",
        ),
        (
            "on-demand.yaml",
            "Berlin         80.50 EUR\nLisbon        210.00 EUR\ntotal         290.50 EUR\n",
        ),
        ("command.yaml", "6 sales.csv\n"),
        ("nightly.yaml", "Hello, Night!\nThis is revision {short}.\n"),
    ],
)
def test_it_runs_from_the_example_repository(name: str, output: str, workspace: Workspace):
    """The code of `examples/flows` does what each example promises."""
    workspace.commit_tree(EXAMPLES / "flows")

    done = workspace.run(*local(name, workspace))

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(output.format(short=workspace.commit[:12]))


def test_every_example_is_run():
    """A new example needs a row above."""
    marks = test_it_runs_from_the_example_repository.pytestmark  # type: ignore[attr-defined]
    assert sorted(row[0] for row in marks[0].args[1]) == MANIFESTS
