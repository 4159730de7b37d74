"""Hugging Face data on disk: a folder of `DatasetDict.save_to_disk`, or the Hub's parquet files.

Torch-free, and `datasets` (the extra `hf`) is imported only when such data is asked for. Splits,
columns and labels are found here; no image is decoded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from deit_core.config import DataConfig
from deit_core.errors import DataError
from deit_core.layouts.hub_columns import Columns, find_columns
from deit_core.layouts.image_folder import Split

if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset, DatasetBuilder, DatasetDict, Features

_NAMES: dict[Split, tuple[str, ...]] = {
    "train": ("train",),
    "val": ("validation", "valid", "val", "dev", "test"),
}
"""What a split may be called; the first that is there is taken."""

_LAYOUT = (
    "it must be a folder of DatasetDict.save_to_disk, or hold parquet files named by split as on "
    "the Hub (data/train-*.parquet and data/validation-*.parquet)"
)


class HubData(Protocol):
    """A data set on disk, of either layout."""

    split_names: dict[Split, str]
    """What the data set itself calls the two splits."""

    def features(self) -> Features:
        """Name and type of every column."""

    def count(self, split: Split) -> int:
        """The number of rows."""

    def labels(self, split: Split, column: str) -> pyarrow.ChunkedArray:
        """One column, without reading the others."""

    def rows(self, split: Split) -> Dataset:
        """All rows, read from disk when they are asked for."""


class _SavedFolder:
    """Arrow files, mapped into memory."""

    def __init__(self, splits: DatasetDict, split_names: dict[Split, str]) -> None:
        self._splits = splits
        self.split_names = split_names

    def features(self) -> Features:
        return self.rows("train").features

    def count(self, split: Split) -> int:
        return len(self.rows(split))

    def labels(self, split: Split, column: str) -> pyarrow.ChunkedArray:
        return self.rows(split).data.column(column)

    def rows(self, split: Split) -> Dataset:
        return self._splits[self.split_names[split]]


class _ParquetFiles:
    """Parquet files; `datasets` turns them once into Arrow files of its own, in its cache."""

    def __init__(self, builder: DatasetBuilder, split_names: dict[Split, str]) -> None:
        self._builder = builder
        self.split_names = split_names

    def _files(self, split: Split) -> list[str]:
        files: dict[object, list[str]] = self._builder.config.data_files
        return next(files[name] for name in files if str(name) == self.split_names[split])

    def features(self) -> Features:
        import datasets
        from pyarrow import parquet

        if self._builder.info.features is not None:  # from the data set's card
            return self._builder.info.features
        return datasets.Features.from_arrow_schema(parquet.read_schema(self._files("train")[0]))

    def count(self, split: Split) -> int:
        from pyarrow import parquet

        return sum(parquet.read_metadata(file).num_rows for file in self._files(split))

    def labels(self, split: Split, column: str) -> pyarrow.ChunkedArray:
        from pyarrow import parquet

        return parquet.read_table(self._files(split), columns=[column]).column(column)

    def rows(self, split: Split) -> Dataset:
        self._builder.download_and_prepare()
        return self._builder.as_dataset(split=self.split_names[split])


def find_hub_data(root: str) -> HubData:
    """Look at a folder, without reading the data.

    Raises:
        DataError: `datasets` is not installed, or the folder holds no such data.
    """
    try:
        import datasets
    except ImportError:
        raise DataError(
            "data.source huggingface needs the package datasets; pip install 'deit-sweeps[hf]'"
        ) from None
    datasets.disable_progress_bars()
    if not Path(root).is_dir():
        raise DataError(f"data.root {root} is no folder; {_LAYOUT}")
    with hub_errors(root):
        if (Path(root) / "dataset_dict.json").is_file():
            splits = datasets.load_from_disk(root)
            return _SavedFolder(splits, _split_names(root, splits))
        if (Path(root) / "state.json").is_file():
            raise DataError(f"{root} is one split, saved alone; give a folder with train and val")
        if next(Path(root).rglob("*.parquet"), None) is None:
            raise DataError(f"data.root {root} holds no Hugging Face data; {_LAYOUT}")
        builder = datasets.load_dataset_builder(root)
        files = builder.config.data_files or {}
        if not all(str(file).endswith(".parquet") for some in files.values() for file in some):
            raise DataError(f"data.root {root} holds other data than parquet files; {_LAYOUT}")
        return _ParquetFiles(builder, _split_names(root, files))


@contextmanager
def hub_errors(root: str) -> Iterator[None]:
    """Raise what `datasets` and Arrow say about damaged files as a DataError."""
    from datasets.exceptions import DatasetsError

    try:
        yield
    except (OSError, ValueError, LookupError, TypeError, DatasetsError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"the Hugging Face data in {root} cannot be read ({type(error).__name__}: {reason}); "
            f"save or fetch it again"
        ) from None


def hub_columns(hub: HubData, data: DataConfig) -> Columns:
    """The columns that the config names, or the only ones of their type. Raises DataError."""
    with hub_errors(str(data.root)):
        return find_columns(hub.features(), data.image_column, data.label_column)


def hub_class_names(hub: HubData, data: DataConfig) -> tuple[str, ...]:
    """The classes; of labels that are integers, as many as the largest train label says.

    Raises:
        DataError: the columns are not as the config says, or the files are damaged.
    """
    import pyarrow.compute

    columns = hub_columns(hub, data)
    if columns.class_names is not None:
        return columns.class_names
    with hub_errors(str(data.root)):
        largest = pyarrow.compute.max(hub.labels("train", columns.label)).as_py()
    return tuple(map(str, range(0 if largest is None else largest + 1)))


def _split_names(root: str, found: Iterable[object]) -> dict[Split, str]:
    there = [str(name) for name in found]
    chosen: dict[Split, str] = {}
    for split, names in _NAMES.items():
        name = next((name for name in names if name in there), None)
        if name is None:
            raise DataError(
                f"the Hugging Face data in {root} has the splits {', '.join(there) or 'none'}; "
                f"it needs train, and one of {', '.join(_NAMES['val'])}"
            )
        chosen[split] = name
    return chosen
