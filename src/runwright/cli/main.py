"""The ``runwright`` command."""

import sys

import typer

from runwright.errors import RunwrightError

app = typer.Typer(
    name="runwright",
    help="Kubernetes operator for tracked training jobs: one manifest, one MLflow run.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def operator() -> None:
    """Run the operator (settings: RUNWRIGHT_* variables; the cluster: KUBECONFIG or the pod's ServiceAccount)."""
    from runwright.operator.app import run  # noqa: PLC0415 - the other commands need neither kopf nor a client

    raise typer.Exit(run())


@app.command()
def crds() -> None:
    """Print the CustomResourceDefinitions: ``runwright crds | kubectl apply --server-side -f -``."""
    from runwright.cli.crds import text  # noqa: PLC0415

    sys.stdout.write(text())


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed  # noqa: PLC0415

    print(f"runwright {installed('runwright')}")


def main() -> None:
    """Run the command line; errors are one line and exit code 1."""
    try:
        app()
    except RunwrightError as error:
        print(f"runwright: {error}", file=sys.stderr)
        sys.exit(1)
