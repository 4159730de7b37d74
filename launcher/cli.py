"""`deit-launch`: plan, start, watch and steer sweeps. What a command needs is imported by it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from deit_core.errors import UserError
from launcher.commands.bench import bench
from launcher.commands.best import best
from launcher.commands.check import doctor
from launcher.commands.export import export_optuna
from launcher.commands.following import EXIT_INTERRUPTED
from launcher.commands.look import logs, pruning, status, tensorboard, why
from launcher.commands.start import sweep, train
from launcher.commands.steer import cancel, pause, resume, retry, throttle
from launcher.usage import OneLineErrors

app = typer.Typer(
    cls=OneLineErrors,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Plan, start, watch and steer sweeps of distilled vision transformers.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"deit-launch {version('deit-sweeps')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


_LOOKING = (status, logs, why, best, pruning, tensorboard)
_STEERING = (retry, cancel, pause, resume, throttle)
for _command in (sweep, train, bench, *_LOOKING, *_STEERING, doctor):
    app.command()(_command)
app.command("export-optuna")(export_optuna)


def main() -> None:
    """Entry point: user errors are one line on stderr and exit code 2."""
    try:
        app()
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted; nothing is lost: run the same command again\n")
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
