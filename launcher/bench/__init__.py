"""Measuring how fast a sweep's models are: what to measure, in which job, and what came of it."""
