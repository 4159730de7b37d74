"""Chaos: a sweep on a real SLURM cluster while everything around it fails, compared with one that
was left in peace. `make chaos` runs it for several seeds; tests/slurm/test_chaos.py for one.
"""
