"""Mistakes in the options of a command line as one line, like all other mistakes of a user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import typer
from typer.core import TyperGroup

from deit_core.errors import UserError

# Typer has a copy of Click in some versions and uses Click's own in others, and exports no more
# than this class of its usage errors. What they all are is its base.
_USAGE_ERROR = cast("type[typer.BadParameter]", typer.BadParameter.__bases__[0])


class OneLineErrors(TyperGroup):
    """Commands whose unknown options, missing arguments and unknown names are a UserError."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse what stands before the command."""
        with _one_line():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Find the command, parse its options and run it."""
        with _one_line():
            return super().invoke(ctx)


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except _USAGE_ERROR as error:
        message = error.format_message()
        if "\n" in message:  # the help, which a call without arguments shows
            raise
        command = error.ctx.command_path if error.ctx else "deit-launch"
        message = f"{message[:1].lower()}{message[1:].removesuffix('.')}"
        if message.startswith("got unexpected extra argument") and _takes_sweep(error.ctx):
            message += "; a sweep is named with --sweep"
        raise UserError(f"{message}; see `{command} --help`") from None


def _takes_sweep(context: Any) -> bool:
    """Whether the command has the option `--sweep`."""
    command = context.command if context else None
    return any("--sweep" in option.opts for option in getattr(command, "params", ()))
