"""Distillation: pure losses, the frozen teacher, and what one training step computes."""
