"""The command line of `kubectl flow`; what a command does is imported when it runs."""

import sys
from typing import Annotated

import typer

app = typer.Typer(
    name="kubectl flow",
    help="Runs the flows of flow-operator.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help comes twice as fast
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command(no_args_is_help=True)
def run(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="FlowRun or FlowDeployment to run, if the files have several."
        ),
    ] = None,
    *,
    filename: Annotated[
        list[str],
        typer.Option(
            "--filename",
            "-f",
            metavar="FILE",
            help="File with manifests; - is standard input. Repeatable.",
        ),
    ],
    local: Annotated[
        bool, typer.Option("--local", help="Run on this machine, without a cluster.")
    ] = False,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter",
            "-p",
            metavar="NAME=VALUE",
            help="Over the manifest's; JSON or text. Repeatable.",
        ),
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Commit or digest to run in place of the manifest's."),
    ] = None,
    python: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help="Interpreter for the code, in place of the image's.",
            show_default="the one that runs this command",
        ),
    ] = sys.executable,
    namespace: Annotated[
        str,
        typer.Option(
            "--namespace", "-n", metavar="NAME", help="Namespace of objects that name none."
        ),
    ] = "default",
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="json",
            help="Print the FlowRun with its status to standard output.",
        ),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the run's directories for a look.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the log of the fetch.")
    ] = False,
) -> None:
    """Run a flow from its manifests: FlowDeployment, and FlowRun, Secrets, ConfigMaps if any.

    The same Job as in the cluster runs as local processes. Stages go to standard
    error, what the code prints to standard output, and the exit code is the code's.
    """
    if not local:
        raise typer.BadParameter(
            "only runs with --local can be started from here; in a cluster: kubectl create -f a "
            "FlowRun",
            param_hint="--local",
        )
    if output not in (None, "json"):
        raise typer.BadParameter("must be json", param_hint="--output")
    from flow_client.run import Options, run_local

    code = run_local(
        Options(
            name=name,
            files=filename,
            namespace=namespace,
            parameters=parameter or [],
            revision=revision,
            python=python,
            keep=keep,
            verbose=verbose,
            as_json=output == "json",
        )
    )
    raise typer.Exit(code)


@app.command(no_args_is_help=True)
def backfill(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="FlowDeployment, if the files have several."),
    ] = None,
    *,
    filename: Annotated[
        list[str],
        typer.Option(
            "--filename",
            "-f",
            metavar="FILE",
            help="File with the FlowDeployment; - is standard input. Repeatable.",
        ),
    ],
    start: Annotated[
        str, typer.Option("--from", metavar="TIME", help="First moment, as 2026-11-20T00:00:00Z.")
    ],
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="First moment after.")],
    schedule: Annotated[
        str | None, typer.Option(metavar="NAME", help="Schedule, if there are several.")
    ] = None,
) -> None:
    """Print a FlowRun for each tick of a window of the past, for `kubectl create -f -`.

    Their names are fixed: what was backfilled already is not run again.
    """
    from flow_client.backfill import print_backfill

    raise typer.Exit(print_backfill(filename, name, schedule, (start, end)))
