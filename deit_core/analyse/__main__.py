"""`python -m deit_core.analyse RUN_DIR [RUN_DIR ...]`: who decides like whom, on val.

Give run directories whose training is completed, or sweep folders for all their completed
students. All are compared with each other, with their teachers and with the ground truth. The
tables show means over the seeds of a variant; each run directory gets an analysis.json with
everything.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from deit_core.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, analyse, print and write; returns the exit code."""
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
        prog="python -m deit_core.analyse",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", metavar="RUN_DIR", nargs="+", type=Path)
    parser.add_argument("--ema", action="store_true", help="look at the EMA weights instead")
    parser.add_argument(
        "--images",
        type=_positive,
        metavar="N",
        help="only N images of val, balanced over the classes (the subset of data.val_images)",
    )
    parser.add_argument("--batch-size", type=_positive, metavar="B")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=_positive, metavar="T", help="CPU threads")
    parser.add_argument(
        "--all", action="store_true", help="print every run, every pair and every block"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is given; give a whole number of at least 1")
    return int(text)


def _run(parsed: argparse.Namespace) -> None:
    # torch takes seconds; --help does not need it
    from rich.console import Console

    from deit_core.analyse.measure import Options, analyse
    from deit_core.analyse.select import open_runs
    from deit_core.analyse.show import as_json, show

    runs = open_runs(parsed.paths)
    options = Options(
        weights="ema" if parsed.ema else "last",
        images=parsed.images,
        batch_size=parsed.batch_size,
        device=parsed.device,
        threads=parsed.threads,
    )
    analysis = analyse(runs, options)
    if parsed.json:
        sys.stdout.write(as_json(analysis) + "\n")
    else:
        show(analysis, runs, Console(), everything=parsed.all)
    for finished, record in zip(runs, analysis.records, strict=True):
        finished.run.write_analysis(record)
    first = runs[0].run.analysis_file(options.weights)
    written = (
        first if len(runs) == 1 else f"{first.name} in each of the {len(runs)} run directories"
    )
    sys.stderr.write(f"written: {written}\n")


if __name__ == "__main__":
    sys.exit(main())
