"""Sources: splits, subsets, every kind of image file, and one clear line for each thing missing."""

import gzip
import os
import struct
import subprocess
import sys
import urllib.error

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from deit_core import data_layout
from deit_core.config import DataConfig
from deit_core.data import download
from deit_core.data.sources import UnreadableImageError, arrays, open_source
from deit_core.data.sources.decode import convert, read_image
from deit_core.data.sources.subset import balanced_subset
from deit_core.errors import DataError

GREY_VALUES = np.arange(0, 240, 4, dtype=np.uint8).reshape(6, 10)


def grey():
    return Image.fromarray(GREY_VALUES)


def make_folder(root, train=("cat", "dog"), val=("cat", "dog"), files=("a.png", "b.png")):
    for split, names in (("train", train), ("val", val)):
        for name in names:
            (root / split / name).mkdir(parents=True)
            for file in files:
                grey().save(root / split / name / file)
    return root


def open_folder(root, split="train", in_chans=3, **limits):
    data = DataConfig(source="image_folder", root=str(root), **limits)
    return open_source(data, in_chans=in_chans, split=split)


# Digits


def test_digits_are_split_once_and_for_all():
    train = open_source(DataConfig(source="digits"), in_chans=1, split="train")
    val = open_source(DataConfig(source="digits", subset_seed=5), in_chans=1, split="val")
    assert (len(train), len(val)) == (1000, 797)
    assert np.bincount(train.labels).tolist() == [100] * 10
    assert np.bincount(val.labels).min() > 70
    images = [split.image(i).tobytes() for split in (train, val) for i in range(len(split))]
    assert train.image(0).size == (8, 8)
    assert max(train.image(0).getextrema()) == 255
    assert train.class_names == tuple("0123456789")
    assert train.describe(17) == "digits[17]"
    assert len(set(images)) == 1797


def test_grey_sources_give_the_channels_asked_for():
    one = open_source(DataConfig(source="digits"), in_chans=1, split="train").image(3)
    three = open_source(DataConfig(source="digits"), in_chans=3, split="train").image(3)
    assert (one.mode, three.mode) == ("L", "RGB")
    assert all(np.array_equal(one, band) for band in three.split())


# Subsets


def test_subsets_are_balanced_nested_and_keyed():
    def chosen(count, seed=0):
        data = DataConfig(source="digits", train_images=count, subset_seed=seed)
        source = open_source(data, in_chans=1, split="train")
        counts = np.bincount(source.labels, minlength=10)
        assert len(source) == count
        assert counts.max() - counts.min() <= 1
        return {source.describe(i) for i in range(count)}

    assert chosen(33) < chosen(300)
    assert chosen(300) == chosen(300)
    assert chosen(300) != chosen(300, seed=1)


def test_a_small_class_gives_all_it_has():
    labels = np.array([0] * 50 + [1] * 3 + [2] * 50)
    kept = balanced_subset(labels, 23, seed=0, what="train images")
    assert np.bincount(labels[kept]).tolist() == [10, 3, 10]
    assert kept.tolist() == sorted(set(kept.tolist()))


def test_subset_images_keep_label_and_name():
    whole = open_source(DataConfig(source="digits"), in_chans=1, split="val")
    part = open_source(DataConfig(source="digits", val_images=20), in_chans=1, split="val")
    names = {whole.describe(i): i for i in range(len(whole))}
    for i in range(len(part)):
        original = names[part.describe(i)]
        assert part.labels[i] == whole.labels[original]
        assert part.image(i).tobytes() == whole.image(original).tobytes()


def test_more_images_than_there_are_is_refused():
    with pytest.raises(DataError, match=r"2000 train images are asked for.*only 1000; .*at most"):
        open_source(DataConfig(source="digits", train_images=2000), in_chans=1, split="train")


# Fashion-MNIST


def test_the_digits_are_those_of_scikit_learn():
    pixels, labels = arrays.read_digits()
    expected = load_digits()
    assert np.array_equal(pixels, expected.images)
    assert np.array_equal(labels, expected.target)


def write_idx(path, values):
    header = bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(gzip.compress(header + values.tobytes()))


@pytest.fixture
def no_debian_package(monkeypatch, tmp_path):
    monkeypatch.setattr(data_layout, "DEBIAN_FASHION_MNIST", tmp_path / "no package")
    monkeypatch.setattr(data_layout, "DOWNLOADS", tmp_path / "no downloads")


@pytest.fixture
def fashion_files(tmp_path, no_debian_package):
    rng = np.random.default_rng(0)
    folder = tmp_path / "files"
    folder.mkdir()
    for prefix, count in (("train", 40), ("t10k", 20)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", np.arange(count, dtype=np.uint8) % 10)
    return folder


def open_fashion(root, split="train", in_chans=1):
    data = DataConfig(source="fashion_mnist", root=root and str(root))
    return open_source(data, in_chans=in_chans, split=split)


def test_fashion_mnist_is_found_in_each_known_place(fashion_files, tmp_path, monkeypatch):
    train, val = open_fashion(fashion_files), open_fashion(fashion_files, "val")
    assert (len(train), len(val)) == (40, 20)
    assert train.image(0).size == (28, 28)
    assert train.labels[:12].tolist() == [*range(10), 0, 1]
    assert train.class_names[9] == "Ankle boot"
    raw = tmp_path / "torchvision" / "FashionMNIST" / "raw"
    raw.parent.mkdir(parents=True)
    fashion_files.rename(raw)
    assert len(open_fashion(tmp_path / "torchvision")) == 40
    with monkeypatch.context() as patched:
        patched.setattr(data_layout, "DOWNLOADS", tmp_path / "torchvision")
        assert len(open_fashion(None)) == 40
    monkeypatch.setattr(data_layout, "DEBIAN_FASHION_MNIST", raw)
    assert len(open_fashion(None)) == 40


@pytest.mark.usefixtures("no_debian_package")
def test_missing_fashion_mnist_names_both_ways_to_get_it(tmp_path):
    ways = r"apt-get install dataset-fashion-mnist.*python -m deit_core.data.download"
    with pytest.raises(DataError, match=ways):
        open_fashion(None)
    with pytest.raises(DataError, match=str(tmp_path)):
        open_fashion(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"no gzip",
        lambda content: content[: len(content) // 2],
        lambda content: gzip.compress(gzip.decompress(content)[:-1]),
        lambda content: gzip.compress(b"\0\0\x0d\3" + gzip.decompress(content)[4:]),
        lambda content: gzip.compress(b""),
    ],
)
def test_damaged_fashion_mnist_files_are_named(fashion_files, damage):
    path = fashion_files / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"train-images.*get the file again"):
        open_fashion(fashion_files)


def test_images_and_labels_of_different_number_are_refused(fashion_files):
    write_idx(fashion_files / "train-labels-idx1-ubyte.gz", np.zeros(39, dtype=np.uint8))
    with pytest.raises(DataError, match="40 train images but 39 labels"):
        open_fashion(fashion_files)


def test_download_goes_through_torchvision_and_fails_in_one_line(tmp_path, monkeypatch, capsys):
    import deit_core.models.timm_import  # noqa: F401, I001 - before torchvision
    from torchvision import datasets

    class Fake:
        def __init__(self, root, download):
            assert download
            self.raw_folder = f"{root}/FashionMNIST/raw"

    monkeypatch.setattr(datasets, "FashionMNIST", Fake)
    monkeypatch.setattr(sys, "argv", ["download", "fashion_mnist", "--root", str(tmp_path)])
    assert download.main() == 0
    assert f"set data.root: {tmp_path}" in capsys.readouterr().out

    def fail(root, download):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(datasets, "FashionMNIST", fail)
    assert download.main() == 2
    message = capsys.readouterr().err
    assert message.startswith("error: Fashion-MNIST cannot be downloaded")
    assert "no network" in message
    assert message.count("\n") == 1


# Image folders


def test_image_folders_are_read_sorted_nested_and_whatever_the_suffix(tmp_path):
    make_folder(tmp_path, files=("b.JPG", "a.png"))
    nested = tmp_path / "train" / "cat" / "more" / "deep"
    nested.mkdir(parents=True)
    for name in ("x.webp", "y.Bmp", "z.ppm", "u.tif", "v.jpeg"):
        grey().save(nested / name)
    (nested / "notes.txt").write_text("no image")
    (tmp_path / "train" / ".cache").mkdir()
    (tmp_path / "train" / "cat" / "._a.jpg").write_text("what macOS leaves behind")
    source = open_folder(tmp_path)
    names = [os.path.relpath(source.describe(i), tmp_path / "train") for i in range(len(source))]
    deep = [f"cat/more/deep/{name}" for name in ("u.tif", "v.jpeg", "x.webp", "y.Bmp", "z.ppm")]
    assert names == ["cat/a.png", "cat/b.JPG", *deep, "dog/a.png", "dog/b.JPG"]
    assert source.labels.tolist() == [0] * 7 + [1] * 2
    assert source.class_names == ("cat", "dog")
    assert {source.image(i).mode for i in range(len(source))} == {"RGB"}
    assert len(open_folder(tmp_path, "val")) == 4


def test_linked_files_and_folders_are_images_too(tmp_path):
    make_folder(tmp_path / "real")
    linked = tmp_path / "linked"
    (linked / "train" / "cat").mkdir(parents=True)
    (linked / "train" / "cat" / "1.png").symlink_to(tmp_path / "real" / "train" / "cat" / "a.png")
    (linked / "train" / "dog").symlink_to(tmp_path / "real" / "train" / "dog")
    (linked / "val").symlink_to(tmp_path / "real" / "val")
    assert len(open_folder(linked)) == 3


def remove(path):
    for child in path.iterdir():
        remove(child) if child.is_dir() else child.unlink()
    path.rmdir()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (remove, "does not exist"),
        (lambda root: remove(root / "val"), r"has no val/; an image folder holds train/<class>"),
        (lambda root: [remove(root / s) for s in ("train", "val")], "no train/ and no val/"),
        (lambda root: remove(root / "val" / "dog"), "dog only in train/; both need the same"),
        (lambda root: (root / "val" / "cow").mkdir(), "cow only in val/"),
        (
            lambda root: [(root / "train" / f"n{i}").mkdir() for i in range(5)],
            "n0, n1, n2 and 2 more only in train/",
        ),
        (
            lambda root: [path.unlink() for path in (root / "train" / "dog").iterdir()],
            r"the class folder .*train/dog holds no image \(.jpg",
        ),
        (
            lambda root: [remove(root / s / c) for s in ("train", "val") for c in ("cat", "dog")],
            "train holds no class folder",
        ),
    ],
)
def test_a_malformed_folder_is_one_line_that_says_what_to_do(tmp_path, spoil, message):
    root = make_folder(tmp_path / "images")
    spoil(root)
    with pytest.raises(DataError, match=message) as error:
        open_folder(root)
    assert "\n" not in str(error.value)


def test_a_root_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "images.zip").write_text("")
    with pytest.raises(DataError, match="is not a folder"):
        open_folder(tmp_path / "images.zip")


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    root = make_folder(tmp_path)
    scandir = os.scandir

    def refuse(path):  # permission bits do not stop the superuser, who may run the tests
        if str(path).endswith("train/dog"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"train/dog cannot be listed \(Permission denied\)"):
        open_folder(root)


# Decoding


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("stored", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "YCbCr"])
def test_every_mode_becomes_what_the_model_takes(tmp_path, stored, mode):
    if stored == "I;16":
        image = Image.fromarray(GREY_VALUES.astype(np.uint16) * 256 + 77)
    elif stored == "P":
        image = grey().convert("RGB").quantize(256)
    else:
        image = grey().convert("RGB").convert(stored)
    path = tmp_path / {"CMYK": "a.tif", "YCbCr": "a.jpg"}.get(stored, "a.png")
    image.save(path, **({"quality": 100} if stored == "YCbCr" else {}))
    result = read_image(str(path), mode)
    assert result.mode == mode
    tolerance = {"1": 255, "YCbCr": 3}.get(stored, 1)  # one bit is dithered
    difference = np.asarray(result.convert("L")).astype(int) - GREY_VALUES
    assert abs(difference).max() <= tolerance


def test_wide_grey_values_keep_their_high_byte_in_older_pillow_too():
    wide = Image.fromarray(GREY_VALUES.astype(np.int32) * 256 + 99)
    assert wide.mode == "I"
    assert np.array_equal(convert(wide, "L"), GREY_VALUES)


@pytest.mark.parametrize("stored", ["RGBA", "LA", "P", "RGB"])
def test_transparent_parts_become_white(tmp_path, stored):
    black = Image.new("RGBA", (4, 4), (0, 0, 0, 255))
    black.paste((0, 0, 0, 0), (0, 0, 2, 4))
    options = {}
    if stored == "RGB":  # PNG's one transparent colour
        black, options = Image.new("RGB", (4, 4)), {"transparency": (255, 0, 0)}
        black.paste((255, 0, 0), (0, 0, 2, 4))
    path = tmp_path / "a.png"
    black.convert(stored).save(path, **options)
    for mode in ("L", "RGB"):
        pixels = np.asarray(read_image(str(path), mode))
        assert (pixels[:, :2] == 255).all()
        assert (pixels[:, 2:] == 0).all()


def test_exif_orientation_is_left_alone_as_in_the_reference(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    grey().save(tmp_path / "a.jpg", exif=exif)
    assert read_image(str(tmp_path / "a.jpg"), "L").size == grey().size


def test_broken_files_are_named_with_the_reason(tmp_path):
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    for suffix in ("jpg", "png", "webp", "bmp", "tif", "ppm"):
        path = tmp_path / f"cut.{suffix}"
        noise.save(path)
        path.write_bytes(path.read_bytes()[:700])
        with pytest.raises(UnreadableImageError, match=rf"cut.{suffix} cannot be read .*\(.+\)"):
            read_image(str(path), "RGB")
    chunk = tmp_path / "chunk.png"
    noise.save(chunk)
    content = bytearray(chunk.read_bytes())
    content[40:60] = bytes(20)
    chunk.write_bytes(content)
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "folder.jpg").mkdir()
    for name in ("chunk.png", "empty.png", "text.jpg", "folder.jpg", "missing.jpg"):
        with pytest.raises(UnreadableImageError, match=name) as error:
            read_image(str(tmp_path / name), "L")
        assert error.value.name == str(tmp_path / name)
        assert "\n" not in str(error.value)


def test_image_bombs_are_unreadable_not_fatal(tmp_path, monkeypatch):
    grey().save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(UnreadableImageError, match="decompression bomb"):
        read_image(str(tmp_path / "large.png"), "L")


def test_the_package_itself_imports_no_torch():
    code = "import sys, deit_core.data; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
