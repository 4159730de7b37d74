"""iNaturalist 2018 and 2019: the competition's JSON files.

`train<year>.json` and `val<year>.json` list images and annotations, `categories.json` the taxonomy
of each category. Labels are those of the reference (facebookresearch/deit, datasets.py): a level of
the taxonomy makes the classes, numbered by their first appearance among the train annotations.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deit_core.errors import DataError
from deit_core.layouts.image_folder import Split

HOW_TO_GET = (
    "get the images, train and val annotations and categories.json of the competition from "
    "github.com/visipedia/inat_comp and unpack them into data.root"
)


def read_classes(root: str, year: int, category: str) -> tuple[str, ...]:
    """The classes that a level of the taxonomy makes, in label order.

    Raises:
        DataError: a file is missing or is not what the competition published.
    """
    path = Path(root) / f"train{year}.json"
    levels = _read_levels(root, category)
    try:
        ids = [int(item["category_id"]) for item in _read_json(path)["annotations"]]
        return tuple(dict.fromkeys(levels[number] for number in ids))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise _malformed(path, error) from None


def read_images(
    root: str, year: int, split: Split, category: str
) -> tuple[list[str], list[int], tuple[str, ...]]:
    """The images of a split.

    The category of an image is the folder it lies in, as in the reference.

    Returns:
        Paths relative to root as published (`train_val2018/Aves/2860/<hash>.jpg`), labels, and
        the classes.

    Raises:
        DataError: a file is missing or malformed, or val has a class that train has not.
    """
    classes = read_classes(root, year, category)
    label_of = {name: label for label, name in enumerate(classes)}
    path = Path(root) / f"{split}{year}.json"
    levels = _read_levels(root, category)
    try:
        files = [str(item["file_name"]) for item in _read_json(path)["images"]]
        names = [levels[int(file.split("/")[-2])] for file in files]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise _malformed(path, error) from None
    unknown = set(names) - label_of.keys()
    if unknown:
        raise DataError(
            f"{path} has images of {min(unknown)!r}, a {category} without train annotations; "
            f"use train and val files of the same year"
        )
    return files, [label_of[name] for name in names], classes


def count_images(root: str, year: int, split: Split) -> int:
    """The number of images that a split lists. Raises DataError."""
    path = Path(root) / f"{split}{year}.json"
    try:
        return len(_read_json(path)["images"])
    except (KeyError, TypeError) as error:
        raise _malformed(path, error) from None


def without_group(file: str) -> str:
    """The path without its second part: where the reference expects the images."""
    parts = file.split("/")
    return "/".join((parts[0], *parts[2:]))


def _read_levels(root: str, category: str) -> list[str]:
    """Name of each category at a level of the taxonomy, by category id."""
    path = Path(root) / "categories.json"
    try:
        return [str(item[category]) for item in _read_json(path)]
    except (KeyError, TypeError) as error:
        raise _malformed(path, error) from None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path} is missing; {HOW_TO_GET}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); make it readable") from None
    except ValueError as error:
        raise DataError(f"{path} is no JSON ({error}); get the file again") from None


def _malformed(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} is not laid out as the competition published it "
        f"({type(error).__name__}: {error}); get the file again"
    )
