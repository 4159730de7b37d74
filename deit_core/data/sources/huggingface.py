"""Hugging Face data on disk (`deit_core.layouts.huggingface` finds it)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from deit_core.config import DataConfig
from deit_core.data.sources.base import Labels, Split, UnreadableImageError, digest
from deit_core.data.sources.decode import decode_image, read_image
from deit_core.data_layout import given_root
from deit_core.errors import DataError
from deit_core.layouts.huggingface import (
    find_hub_data,
    hub_class_names,
    hub_columns,
    hub_errors,
)

if TYPE_CHECKING:
    from datasets import Dataset


class HubSource:
    """Images as encoded files in the cells of a table, decoded when asked for.

    Args:
        name: what `describe` calls the split.
        rows: the table; its only column holds structs of `bytes` and `path`.
        labels: class of each row, shape (N,).
        class_names: name of each class.
        in_chans: 1 reads grey images, 3 reads colour.
    """

    in_memory = False

    def __init__(
        self,
        name: str,
        rows: Dataset,
        labels: Labels,
        *,
        class_names: tuple[str, ...],
        in_chans: int,
    ) -> None:
        self._name = name
        self._rows = rows
        (self._column,) = rows.column_names
        self._mode = "L" if in_chans == 1 else "RGB"
        self.labels = labels
        self.class_names = class_names

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> Image.Image:
        """See `ImageSource.image`."""
        cell = self._rows[index][self._column]
        if cell is None:
            raise UnreadableImageError(self.describe(index), "the cell is empty")
        if cell["bytes"] is None:
            return read_image(str(cell["path"]), self._mode)
        return decode_image(cell["bytes"], self._mode, name=self.describe(index))

    def describe(self, index: int) -> str:
        """The folder, the split and the row, such as `/data/birds validation[17]`."""
        return f"{self._name}[{index}]"

    def fingerprint(self) -> str:
        """Over labels, and names and sizes of the encoded images; their contents are not read."""
        import pyarrow.compute as pc

        column = self._rows.data.column(self._column)
        sizes = pc.binary_length(pc.struct_field(column, "bytes")).fill_null(-1)
        paths = pc.struct_field(column, "path").fill_null("")
        return digest(
            self.class_names,
            self.labels.tobytes(),
            sizes.to_numpy().astype(np.int64).tobytes(),
            tuple(paths.to_pylist()),
        )


def open_huggingface(data: DataConfig, split: Split, *, in_chans: int) -> HubSource:
    """Open one split. Parquet files are turned into Arrow files once, in the cache of `datasets`.

    Raises:
        DataError: `datasets` is not installed, the data, a split or a column is missing, or a
            label is.
    """
    root = given_root(data)
    hub = find_hub_data(root)
    columns = hub_columns(hub, data)
    names = hub_class_names(hub, data)
    with hub_errors(root):
        import datasets

        rows = hub.rows(split).select_columns([columns.image])
        rows = rows.cast_column(columns.image, datasets.Image(decode=False))
        labels = hub.labels(split, columns.label)
    if labels.null_count:
        raise DataError(
            f"{labels.null_count} of the {len(labels)} labels in the split "
            f"{hub.split_names[split]} of {root} are empty; remove these rows"
        )
    return HubSource(
        f"{root} {hub.split_names[split]}",
        rows,
        labels.to_numpy().astype(np.int64),
        class_names=names,
        in_chans=in_chans,
    )
