"""The `flow-operator` command."""

import argparse
import asyncio
import gc
import os
import sys

from flow_operator.shell.app import run_operator
from flow_operator.shell.config import VARIABLES, ConfigError, load_config
from flow_operator.shell.connection import NoServerError, installed_version
from flow_operator.shell.logs import set_up_logging


def main(arguments: list[str] | None = None) -> int:
    """Run the operator until it is told to stop; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        config = load_config(os.environ, options.namespace)
        set_up_logging(config.log_level, config.log_format)
        # Lists of thousands of objects are no garbage: looking through them takes as long as
        # reading them. What is imported by now never is.
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        asyncio.run(run_operator(config))
    except (ConfigError, NoServerError) as error:
        sys.stderr.write(f"flow-operator: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"flow-operator: FLOW_OPERATOR_PORT: {error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, VARIABLES))
    variables = "\n".join(f"  {name:<{width}}  {text}" for name, text in VARIABLES.items())
    parser = argparse.ArgumentParser(
        prog="flow-operator",
        description="Turns FlowDeployments into FlowRuns and FlowRuns into Jobs.",
        epilog=f"environment variables:\n{variables}\n"
        f"  {'KUBECONFIG':<{width}}  how to reach the API server from outside of the cluster",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=installed_version())
    parser.add_argument(
        "--namespace",
        action="append",
        default=[],
        metavar="NAME",
        help="serve this namespace only; may be given more than once",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
