"""Throughput, measured apart from training: `python -m deit_core BENCH_DIR` (docs/throughput.md).

From below: `device_clock` and `memory` read a device; `work` makes one iteration of a quantity;
`search` finds the batch sizes, `rounds` measures in turn; `group` does all of it for some models,
`processes` in fresh processes; `merge` makes the records, `job` writes them.
"""
