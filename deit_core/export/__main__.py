"""`python -m deit_core.export RUN_DIR --to FORMAT`: a finished run's model as one file.

The file answers as the run did when it was evaluated, which is checked before it is written, and
holds its own description: normalisation, image size, classes, accuracy.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from deit_core.errors import UserError
from deit_core.export.formats import SUFFIXES


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, export, say how to load the file; returns the exit code."""
    parsed = _parser().parse_args(arguments)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    try:
        _run(parsed)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deit_core.export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run_dir", metavar="RUN_DIR", type=Path)
    parser.add_argument("--to", choices=tuple(SUFFIXES), required=True, help="the file's format")
    parser.add_argument(
        "--output", type=Path, metavar="PATH", help="default: a name in RUN_DIR/export/"
    )
    parser.add_argument("--ema", action="store_true", help="the EMA weights instead of the last")
    parser.add_argument("--force", action="store_true", help="replace a file that exists")
    return parser


def _run(parsed: argparse.Namespace) -> None:
    # torch takes seconds; --help does not need it
    from deit_core.config import TrainConfig
    from deit_core.export.write import export_run
    from deit_core.finished import open_finished
    from deit_core.train.env import set_threads

    set_threads(TrainConfig())
    exported = export_run(
        open_finished(parsed.run_dir),
        parsed.to,
        output=parsed.output,
        weights="ema" if parsed.ema else "last",
        force=parsed.force,
    )
    size = exported.path.stat().st_size / 2**20
    sys.stdout.write(f"{exported.path} ({size:.1f} MiB)\n{exported.load_with}\n")
    for note in exported.notes:
        sys.stderr.write(f"note: {note}\n")


if __name__ == "__main__":
    sys.exit(main())
