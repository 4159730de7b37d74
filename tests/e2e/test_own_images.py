"""A user's own folder of images: any size, some grey, some with transparency, one cut short."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from sklearn.datasets import load_digits

from deit_core.run_dir import RunDir

Shell = Callable[..., subprocess.CompletedProcess[str]]
THREE_LINES = """\
data: {source: image_folder, root: my_images}
model: {name: deit_tiny_patch16_224, img_size: 32, patch_size: 16}
train: {duration: 2ep, global_batch_size: 16}
"""


def make_folder(root: Path, *, classes: tuple[str, ...] = ("one", "two", "three")) -> None:
    """Real scanned digits as files: sizes from 20 to 60 pixels, JPEG and PNG, L, RGB, RGBA, P."""
    digits = load_digits()
    for label, name in enumerate(classes):
        images = digits.images[digits.target == label]
        for split, some in (("train", images[:16]), ("val", images[16:24])):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number, pixels in enumerate(some):
                image = Image.fromarray((pixels * 15.9).astype("uint8"))
                side = 20 + 5 * (number % 9)
                image = image.resize((side, side + number % 3))
                mode = ("L", "RGB", "RGBA", "P")[number % 4]
                suffix = "jpg" if mode in ("L", "RGB") else "png"
                image.convert(mode).save(folder / f"{number:02d}.{suffix}")


@pytest.mark.slow
def test_three_lines_of_yaml_train_a_folder(shell: Shell, tmp_path: Path) -> None:
    make_folder(tmp_path / "my_images")
    broken = tmp_path / "my_images" / "train" / "two" / "04.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    (tmp_path / "mine.yaml").write_text(THREE_LINES)
    trained = shell("deit-launch train mine.yaml").stdout
    warning = f"warning: 1 image could not be read, the first is {broken}; `deit-launch logs "
    assert warning in trained
    assert trained.count("next: deit-report") == 1
    assert warning in shell("deit-launch status").stdout
    (trial,) = (tmp_path / "reports" / "latest" / "trials").iterdir()
    summary = RunDir(trial).read_summary()
    assert summary is not None
    assert summary.unreadable_images == 1
    assert (summary.num_classes, summary.val_images, summary.train_images) == (3, 24, 48)
    log = shell("deit-launch logs mine").stdout
    assert "WARNING: cannot read" in log
    assert str(broken) in log
    assert "Traceback" not in log
    shell("deit-report")
    report = (tmp_path / "reports" / "latest" / "report" / "report.md").read_text()
    assert "could not be read" in report or "unreadable" in report


def remove_val(root: Path) -> None:
    make_folder(root)
    shutil.rmtree(root / "val")


def add_class(root: Path) -> None:
    make_folder(root)
    (root / "val" / "four").mkdir()


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda root: None, "data.root {root} does not exist; an image folder holds train/"),
        (remove_val, "data.root {root} has no val/; an image folder holds train/"),
        (add_class, "the class folders of {root} differ between train/ and val/: four only in val"),
    ],
    ids=["no folder", "no val", "classes differ"],
)
def test_what_is_wrong_with_a_folder_is_said_before_anything_runs(
    shell: Shell, tmp_path: Path, prepare: Callable[[Path], None], message: str
) -> None:
    root = tmp_path / "my_images"
    prepare(root)
    (tmp_path / "mine.yaml").write_text(THREE_LINES)
    done = shell("deit-launch train mine.yaml", check=2)
    assert done.stderr.startswith(f"error: {message.format(root=root)}")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("runs/*/trials"))


def test_the_model_and_the_data_must_agree_on_classes(shell: Shell, tmp_path: Path) -> None:
    make_folder(tmp_path / "my_images")
    (tmp_path / "mine.yaml").write_text(THREE_LINES)
    done = shell("deit-launch train mine.yaml --set model.num_classes=5", check=2)
    assert "model.num_classes: 5 is given for mine, but its data has 3 classes" in done.stderr


def test_a_missing_checkpoint_of_a_teacher(shell: Shell, tmp_path: Path) -> None:
    make_folder(tmp_path / "my_images")
    distilled = THREE_LINES.replace("deit_tiny_patch16_224", "deit_tiny_distilled_patch16_224")
    teacher = "teacher: {name: resnet18, checkpoint: nowhere.pth}\ndistill: {kind: hard}\n"
    (tmp_path / "mine.yaml").write_text(distilled + teacher)
    done = shell("deit-launch train mine.yaml", check=2)
    assert "teacher.checkpoint: there is no file" in done.stderr
