"""A sweep as an Optuna study, for optuna-dashboard and for Optuna's own analyses.

One way only: nothing here reads a study back.
"""
