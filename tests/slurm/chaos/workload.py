"""The sweep that is disturbed: a teacher and twelve students in cohorts, two ranks on two nodes."""

from __future__ import annotations

from pathlib import Path

STUDENT = """\
data: {source: digits, train_images: 160}
model: {name: deit_tiny_distilled_patch16_224, img_size: 8, patch_size: 2, in_chans: 1,
        embed_dim: 32, num_heads: 2, init: fan_in, pos_embed_std: 0.2, drop_path_rate: 0.1}
augment: {strength: 0.2}
optim: {lr: 1e-3, lr_reference_batch_size: null, warmup: 2ep}
train: {duration: 24ep, global_batch_size: 16, precision: fp32, device: cpu, threads: 1,
        checkpoint_every_s: 1.0, checkpoint_every_epochs: 6}
eval: {every: 8ep}
logging: {every_steps: 5}
"""
TEACHER = """\
data: {source: digits, train_images: 160}
model: {name: resnet10t, img_size: 8, in_chans: 1}
train: {duration: 8ep, global_batch_size: 16, precision: fp32, device: cpu, threads: 1,
        checkpoint_every_s: 1.0}
eval: {every: 4ep}
"""
SWEEP = """\
name: chaos
base: student.yaml
teacher: {base: teacher.yaml}
axes:
  distill.kind: [none, soft, hard]
  model.depth: [1, 2]
seeds: [0, 1]
resources:
  partition: gpu
  nodes: 2
  tasks_per_node: 1
  gpus_per_node: 0
  mem_gb: 4
  time: 30min
  max_parallel: 3
  max_requeues: 30  # faults that hit one trial before its first step say nothing about the trial
"""
TRIALS = 13


def write_sweep(folder: Path) -> Path:
    """Write the sweep file and its configs; returns the former."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "student.yaml").write_text(STUDENT)
    (folder / "teacher.yaml").write_text(TEACHER)
    file = folder / "chaos.yaml"
    file.write_text(SWEEP)
    return file
