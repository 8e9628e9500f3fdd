"""`python -m tests.cluster`: the test cluster on the command line."""

from __future__ import annotations

import argparse
import sys

from tests.cluster.binaries import COMPONENTS, PROGRAMS, tool
from tests.cluster.console import ClusterError, say
from tests.cluster.provider import choose, ensure, load_images, take_down


def _up(arguments: argparse.Namespace) -> None:
    cluster = ensure(with_images=not arguments.no_images)
    say(f"ready: export KUBECONFIG={cluster.kubeconfig}")


def _down(arguments: argparse.Namespace) -> None:
    take_down(purge=arguments.purge)
    say("nothing of the cluster is running")


def _status(arguments: argparse.Namespace) -> int:
    report = choose().status()
    for name, state in report.items():
        print(f"{name:24} {state}")
    return 0 if all(state not in {"stopped", "not ready"} for state in report.values()) else 1


def _images(arguments: argparse.Namespace) -> None:
    for name, tag in load_images().items():
        print(f"{name:24} {tag}")


def _kubeconfig(arguments: argparse.Namespace) -> None:
    provider = choose()
    if not provider.kubeconfig.exists():
        raise ClusterError("the cluster is down: `python -m tests.cluster up`")
    print(provider.kubeconfig)


def _tools(arguments: argparse.Namespace) -> None:
    for name in arguments.name or sorted({*COMPONENTS, *PROGRAMS} - {"kind"}):
        print(tool(name))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster",
        description="A real Kubernetes cluster for the tests: the one FLOW_TEST_KUBECONFIG "
        "names, else kind where Docker answers, else real components on this machine (root).",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: object, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(function=function)
        return added

    up = command("up", _up, "start the cluster, unless it runs; build and load changed images")
    up.add_argument("--no-images", action="store_true", help="leave the images as they are")
    down = command("down", _down, "stop everything that `up` started")
    down.add_argument("--purge", action="store_true", help="delete images and logs as well")
    command("status", _status, "show each component's state; exit 1 unless all is well")
    command("images", _images, "build the images whose sources changed, and load them")
    command("kubeconfig", _kubeconfig, "print the path of the cluster's kubeconfig")
    tools = command("tools", _tools, "build programs (kubectl, helm, …) and print their paths")
    tools.add_argument("name", nargs="*", help="all, unless named")
    return parser


def main() -> int:
    """Run one command and return its exit code."""
    arguments = _parser().parse_args()
    try:
        return arguments.function(arguments) or 0
    except ClusterError as failure:
        print(f"cluster: {failure}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
