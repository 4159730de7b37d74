"""`python -m chaos`: exit code 0 if every seed's sweep came out as if nothing had happened."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from slurm_cluster.cluster import SlurmCluster

from chaos.run import ChaosError, options_of, run_in_chaos, run_quietly, say, table_of


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--faults", type=int, default=35, help="for each seed")
    parser.add_argument("--keep", type=Path, help="an empty folder, which is kept")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos") as temporary:
        folder = asked.keep or Path(temporary)
        return _run(folder, asked.seeds, asked.faults)


def _run(folder: Path, seeds: list[int], faults: int) -> int:
    reports, quiet = [], None
    for seed in seeds:
        say(f"seed {seed}: starting a cluster")
        with SlurmCluster(folder / f"cluster{seed}", options_of(seed)) as cluster:
            try:
                quiet = quiet or run_quietly(cluster, folder)
                reports.append(run_in_chaos(cluster, folder, quiet, seed, faults))
            except ChaosError as error:
                say(f"seed {seed}: not every trial has completed\n{error}")
                return 1
        say(f"seed {seed}: {reports[-1].faults.total()} faults in {reports[-1].took_s:.0f} s")
    print(table_of(reports))  # noqa: T201
    return 0 if all(report.fine for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main())
