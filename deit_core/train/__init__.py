"""Training: the loop over a cohort of students, evaluation, checkpoints, and what is written."""
