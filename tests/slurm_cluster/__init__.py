"""A real SLURM cluster on one machine: four nodes with two pretended GPUs each, and accounting.

For tests (`fixtures.py`) and for a developer who wants to try the launcher (`make slurm`).
"""
