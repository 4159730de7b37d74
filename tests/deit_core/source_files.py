"""Tiny data sets in the layouts in which the real ones are published."""

from __future__ import annotations

import json
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

from deit_core.config import DataConfig

VAL = 4
"""Images of val in every data set here."""

WNIDS = ("n01440764", "n01443537", "n01484850")
SYNSET_IDS = (3, 1, 2)
"""The development kit does not number synsets in the order of their ids."""


def picture(number: int, *, colour: bool = True) -> Image.Image:
    """A picture of its own for each number."""
    values = np.random.default_rng(number).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    return Image.fromarray(values if colour else values[..., 0])


def save_picture(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(number).save(path)


def save_array(values: list[dict[str, Any]]) -> np.ndarray:
    """A MATLAB struct array with these rows."""
    table = np.zeros(len(values), dtype=[(key, object) for key in values[0]])
    for row, value in enumerate(values):
        table[row] = tuple(value.values())
    return table


def write_pickle(path: Path, value: Any, protocol: int = 2) -> None:
    path.write_bytes(pickle.dumps(value, protocol=protocol))


def make_cifar10(root: Path, train: int = 7) -> DataConfig:
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    numbers = np.array_split(np.arange(train), 5)
    names = [f"data_batch_{part}" for part in range(1, 6)]
    for name, part in zip([*names, "test_batch"], [*numbers, range(100, 100 + VAL)], strict=True):
        pixels = np.array([cifar_pixels(n) for n in part], dtype=np.uint8).reshape(-1, 3072)
        write_pickle(folder / name, {"data": pixels, "labels": [int(n) % 10 for n in part]})
    write_pickle(folder / "batches.meta", {"label_names": [f"class {n}" for n in range(10)]})
    return DataConfig(source="cifar10", root=str(root))


def make_cifar100(root: Path, train: int = 7) -> DataConfig:
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    for name, part in (("train", range(train)), ("test", range(100, 100 + VAL))):
        batch = {
            "data": np.array([cifar_pixels(n) for n in part]),
            "coarse_labels": [0 for _ in part],
            "fine_labels": [n % 100 for n in part],
        }
        write_pickle(folder / name, batch)
    names = {"fine_label_names": [f"fine {n}" for n in range(100)], "coarse_label_names": ["all"]}
    write_pickle(folder / "meta", names)
    return DataConfig(source="cifar100", root=str(root))


def cifar_pixels(number: int) -> np.ndarray:
    """3072 bytes: red, green, blue planes of 32x32."""
    return np.random.default_rng(number).integers(0, 256, 3072, dtype=np.uint8)


def make_flowers102(root: Path, train: int = 7) -> DataConfig:
    folder = root / "flowers-102"
    count = train + VAL
    for number in range(1, count + 1):
        save_picture(folder / "jpg" / f"image_{number:05d}.jpg", number)
    order = np.arange(1, count + 1)
    parts = {"trnid": order[VAL : VAL + 3], "valid": order[VAL + 3 :], "tstid": order[:VAL]}
    savemat(folder / "setid.mat", parts)
    savemat(folder / "imagelabels.mat", {"labels": (order * 7) % 102 + 1})
    return DataConfig(source="flowers102", root=str(root))


def make_stanford_cars(root: Path, train: int = 7) -> DataConfig:
    folder = root / "stanford_cars"
    (folder / "devkit").mkdir(parents=True)
    places = (
        ("cars_train", train, folder / "devkit" / "cars_train_annos.mat"),
        ("cars_test", VAL, folder / "cars_test_annos_withlabels.mat"),
    )
    for name, count, path in places:
        rows = []
        for number in range(1, count + 1):
            save_picture(folder / name / f"{number:05d}.jpg", number)
            rows.append({"bbox_x1": 3, "class": 197 - number, "fname": f"{number:05d}.jpg"})
        savemat(path, {"annotations": save_array(rows)})
    names = np.array([f"car {n}" for n in range(196)], dtype=object)
    savemat(folder / "devkit" / "cars_meta.mat", {"class_names": names})
    return DataConfig(source="stanford_cars", root=str(root))


def val_wnid(number: int) -> str:
    """Class of ILSVRC2012_val_<number> in the data sets here."""
    return WNIDS[number % len(WNIDS)]


def make_image_folder(root: Path, train: int = 7) -> DataConfig:
    make_imagenet(root, train)
    return DataConfig(source="image_folder", root=str(root))


def make_imagenet(root: Path, train: int = 7) -> DataConfig:
    """Class folders."""
    _imagenet_train(root, train)
    for number in range(1, VAL + 1):
        name = f"ILSVRC2012_val_{number:08d}.JPEG"
        save_picture(root / "val" / val_wnid(number) / name, number)
    return DataConfig(source="imagenet", root=str(root))


def make_flat_imagenet(root: Path, train: int = 7) -> DataConfig:
    """A flat val/ with the development kit's folder."""
    _imagenet_train(root, train)
    for number in range(1, VAL + 1):
        save_picture(root / "val" / f"ILSVRC2012_val_{number:08d}.JPEG", number)
    data = root / "ILSVRC2012_devkit_t12" / "data"
    data.mkdir(parents=True)
    leaves = [
        {"ILSVRC2012_ID": number, "WNID": wnid, "words": wnid, "gloss": "", "num_children": 0}
        for number, wnid in sorted(zip(SYNSET_IDS, WNIDS, strict=True))
    ]
    parent = {"ILSVRC2012_ID": 4, "WNID": "n00", "words": "x", "gloss": "", "num_children": 3}
    savemat(data / "meta.mat", {"synsets": save_array([*leaves, parent])})
    ids = [SYNSET_IDS[WNIDS.index(val_wnid(number))] for number in range(1, VAL + 1)]
    truth = "".join(f"{number}\n" for number in ids)
    (data / "ILSVRC2012_validation_ground_truth.txt").write_text(truth)
    return DataConfig(source="imagenet", root=str(root))


def make_imagenet_archive(root: Path, train: int = 7) -> DataConfig:
    """The development kit as it is downloaded."""
    config = make_flat_imagenet(root, train)
    folder = root / "ILSVRC2012_devkit_t12"
    with tarfile.open(root / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as archive:
        archive.add(folder, folder.name)
    folder.rename(root.with_name(f"{root.name} kit"))
    return config


def make_imagenet_meta_bin(root: Path, train: int = 7) -> DataConfig:
    """What torchvision's ImageNet leaves in the folder."""
    import torch

    config = make_flat_imagenet(root, train)
    (root / "ILSVRC2012_devkit_t12").rename(root.with_name(f"{root.name} kit"))
    classes = {wnid: (wnid, "a name") for wnid in WNIDS}
    torch.save((classes, [val_wnid(n) for n in range(1, VAL + 1)]), root / "meta.bin")
    return config


def _imagenet_train(root: Path, count: int) -> None:
    for number in range(count):
        wnid = WNIDS[number % len(WNIDS)]
        save_picture(root / "train" / wnid / f"{wnid}_{number}.JPEG", number)


TAXONOMY = [
    {"id": 0, "name": "Pica pica", "kingdom": "Animalia", "supercategory": "Aves"},
    {"id": 1, "name": "Rosa canina", "kingdom": "Plantae", "supercategory": "Plantae"},
    {"id": 2, "name": "Turdus merula", "kingdom": "Animalia", "supercategory": "Aves"},
]


def make_inaturalist(root: Path, train: int = 7) -> DataConfig:
    """As published; the first train annotation is of the last category."""
    write_inaturalist(root, 2018, train, with_group=True)
    return DataConfig(source="inaturalist_2018", root=str(root))


def make_inaturalist_2019(root: Path, train: int = 7) -> DataConfig:
    """In the folders that the reference expects."""
    write_inaturalist(root, 2019, train, with_group=False)
    return DataConfig(source="inaturalist_2019", root=str(root))


def write_inaturalist(root: Path, year: int, train: int, *, with_group: bool) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "categories.json").write_text(json.dumps(TAXONOMY))
    for split, numbers in (("train", range(train)), ("val", range(100, 100 + VAL))):
        images, annotations = [], []
        for number in numbers:
            category = TAXONOMY[(number + 2) % 3]
            group, folder = category["supercategory"], f"train_val{year}"
            name = f"{folder}/{group}/{category['id']}/{number}.jpg"
            stored = name if with_group else f"{folder}/{category['id']}/{number}.jpg"
            save_picture(root / stored, number)
            images.append({"id": number, "file_name": name})
            annotations.append({"image_id": number, "category_id": category["id"]})
        content = {"images": images, "annotations": annotations}
        (root / f"{split}{year}.json").write_text(json.dumps(content))


def hub_dataset(numbers: range, **columns: Any) -> Any:
    """A table with the columns `image` and `label`, and more."""
    import datasets

    values = {
        "image": [picture(number) for number in numbers],
        "label": [number % 2 for number in numbers],
    }
    label = datasets.ClassLabel(names=["even", "odd"])
    features = {"image": datasets.Image(), "label": label}
    for name, (kind, column) in columns.items():
        values[name], features[name] = column, kind
    return datasets.Dataset.from_dict(values, features=datasets.Features(features))


def make_hub_saved(root: Path, train: int = 7) -> DataConfig:
    """By save_to_disk."""
    import datasets

    splits = {"train": hub_dataset(range(train)), "test": hub_dataset(range(100, 100 + VAL))}
    datasets.DatasetDict(splits).save_to_disk(root)
    return DataConfig(source="huggingface", root=str(root))


def make_hub_parquet(root: Path, train: int = 7) -> DataConfig:
    """As the Hub stores it."""
    (root / "data").mkdir(parents=True)
    parts = {
        "train-00000-of-00002": range(3),
        "train-00001-of-00002": range(3, train),
        "validation-00000-of-00001": range(100, 100 + VAL),
        "test-00000-of-00001": range(200, 201),
    }
    for name, numbers in parts.items():
        hub_dataset(numbers).to_parquet(root / "data" / f"{name}.parquet")
    return DataConfig(source="huggingface", root=str(root))


MAKERS: dict[str, Callable[..., DataConfig]] = {
    "image_folder": make_image_folder,
    "imagenet": make_imagenet,
    "imagenet, devkit folder": make_flat_imagenet,
    "imagenet, devkit archive": make_imagenet_archive,
    "imagenet, meta.bin": make_imagenet_meta_bin,
    "cifar10": make_cifar10,
    "cifar100": make_cifar100,
    "flowers102": make_flowers102,
    "stanford_cars": make_stanford_cars,
    "inaturalist_2018": make_inaturalist,
    "inaturalist_2019": make_inaturalist_2019,
    "huggingface, saved": make_hub_saved,
    "huggingface, parquet": make_hub_parquet,
}
"""Every source on disk; each takes a folder and the number of train images."""
