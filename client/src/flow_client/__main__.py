"""`python -m flow_client`, and `kubectl flow` where `kubectl-flow` is on the PATH."""

from flow_client.cli import app


def main() -> None:
    """Run the command line."""
    app(prog_name="kubectl flow")


if __name__ == "__main__":
    main()
