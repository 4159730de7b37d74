"""Finished runs as files for other programs: `python -m deit_core.export`, and the way back.

Every file says in its own metadata what it is and which images it takes (`ExportRecord`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deit_core.export.weights_file import LoadedExport

__all__ = ["load_exported"]


def load_exported(path: str | Path) -> LoadedExport:
    """The model in a .safetensors file that `python -m deit_core.export` wrote, and its record.

    Args:
        path: of the file, which is all that is needed.

    Returns:
        `model`, on the CPU in eval mode, and `record`, an `ExportRecord`: normalisation, size and
        classes.

    Raises:
        CheckpointError: no such file, damaged, or not written by the command.
    """
    # torch takes seconds; the command's --help, which imports this package, does not need it
    from deit_core.export.weights_file import read_weights_file

    return read_weights_file(Path(path))
