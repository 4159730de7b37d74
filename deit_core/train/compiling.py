"""torch.compile for students that are trained side by side.

Compiled code is shared by all models of a class, and its book-keeping too: left alone, torch gives
up after the eighth model of another shape and runs the rest uncompiled, and it compiles for any
batch size what an earlier model saw in two. Either makes a student of a cohort differ from the same
student alone.
"""

from __future__ import annotations

import torch
from torch import nn

COMPILATIONS = 8
"""How often one student may be compiled, which is torch's own limit for a class: once for each
mode and size of a batch, of which there are the whole one and the last."""


def compile_student(model: nn.Module) -> None:
    """Compile a model in place, at its first forward pass; more than `COMPILATIONS` is an error."""
    limits = torch._dynamo.config
    # By the names that torch 2.6 has too.
    limits.cache_size_limit += COMPILATIONS
    limits.accumulated_cache_size_limit += COMPILATIONS
    limits.fail_on_cache_limit_hit = True
    model.compile(dynamic=False)
