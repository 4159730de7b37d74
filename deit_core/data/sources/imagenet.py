"""ImageNet (ILSVRC 2012) as class folders, or with the development kit's labels for a flat val/.

Nothing is unpacked, moved or written, as torchvision's ImageNet would do in the user's folder.
"""

from __future__ import annotations

import pickle
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deit_core.data.sources.base import Split
from deit_core.data.sources.folder import FolderSource, open_classes
from deit_core.data.sources.matlab import read_mat
from deit_core.errors import DataError
from deit_core.layouts import imagenet

_SYNSETS = "data/meta.mat"
_GROUND_TRUTH = "data/ILSVRC2012_validation_ground_truth.txt"


def open_imagenet(root: str, split: Split, *, in_chans: int) -> FolderSource:
    """List one split. Labels are those of the sorted WordNet ids, in both layouts.

    Raises:
        DataError: folders, images or the development kit are missing or damaged.
    """
    names = imagenet.wnids(root)
    if split == "train" or not imagenet.has_flat_val(root):
        return open_classes(Path(root) / split, names, in_chans=in_chans)
    kit = imagenet.devkit(root)
    label_of = {name: label for label, name in enumerate(names)}
    files = imagenet.flat_val_files(root)
    truth = read_val_wnids(kit)
    numbers = [imagenet.val_number(file) or 0 for file in files]
    if max(numbers) > len(truth) or min(numbers) < 1:
        raise DataError(
            f"{kit} knows the classes of {len(truth)} val images, but {root}/val has "
            f"{files[-1]}; get both from the same year's challenge"
        )
    wanted = [truth[number - 1] for number in numbers]
    missing = sorted(set(wanted) - label_of.keys())
    if missing:
        raise DataError(
            f"{root}/val has images of {missing[0]}, for which {root}/train has no class folder "
            f"({len(missing)} such); unpack all of ILSVRC2012_img_train.tar"
        )
    labels = np.array([label_of[name] for name in wanted], dtype=np.int64)
    return FolderSource(Path(root) / "val", files, labels, class_names=names, in_chans=in_chans)


def read_val_wnids(kit: Path) -> Sequence[str]:
    """WordNet id of each val image, from number 1 on.

    Args:
        kit: the development kit's folder or .tar.gz, or the meta.bin that torchvision makes of it.

    Raises:
        DataError: it is damaged.
    """
    try:
        if kit.name == imagenet.META_BIN:
            return _from_meta_bin(kit)
        if kit.is_dir():
            return _from_files((kit / _SYNSETS).read_bytes(), (kit / _GROUND_TRUTH).read_bytes())
        with tarfile.open(kit) as archive:
            return _from_files(_member(archive, _SYNSETS), _member(archive, _GROUND_TRUTH))
    except (
        *(OSError, EOFError, RuntimeError, ValueError, TypeError, KeyError, IndexError),
        *(tarfile.TarError, zlib.error),
    ) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{kit} is no development kit of ImageNet 2012 ({reason}); get it again"
        ) from None


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(f"{imagenet.DEVKIT}/{name}")
    if file is None:
        raise KeyError(f"{name} is no file")
    return file.read()


def _from_files(synsets: bytes, ground_truth: bytes) -> Sequence[str]:
    """The kit numbers synsets from 1, those with children after all leaves."""
    table = read_mat(synsets)["synsets"]
    wnids = [str(wnid) for wnid in table["WNID"]]
    wnid_of = dict(zip(map(int, table["ILSVRC2012_ID"]), wnids, strict=True))
    return [wnid_of[int(line)] for line in ground_truth.split()]


def _from_meta_bin(path: Path) -> Sequence[str]:
    import deit_core.models.timm_import  # noqa: F401, I001 - torchvision may not import before it
    from torchvision.datasets.imagenet import load_meta_file

    try:
        _, val_wnids = load_meta_file(str(path.parent), path.name)  # torch.load of weights_only
    except pickle.UnpicklingError:  # whose text advises to allow code
        raise ValueError("it is not what torchvision writes") from None
    return [str(wnid) for wnid in val_wnids]
