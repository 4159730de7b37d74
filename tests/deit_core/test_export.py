"""Exported files answer as the run did, and say what they are."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from finished_support import HARD, finish, val_of
from PIL import Image
from torch import Tensor

from deit_core.errors import CheckpointError, ExportError, UserError
from deit_core.export import load_exported, write
from deit_core.export.__main__ import main
from deit_core.export.describe import METADATA_KEY
from deit_core.export.formats import SUFFIXES, Format
from deit_core.export.graph import EXTRA_FILE
from deit_core.export.write import Exported, export_run
from deit_core.finished import load_model, open_finished
from deit_core.models import build_model, fuse, head_logits, load_weights, save_weights
from deit_core.models.timm_import import timm
from deit_core.records import ExportRecord
from deit_core.run_dir import RunDir

RunFactory = Callable[..., RunDir]
SMALL = {
    "img_size": 8,
    "patch_size": 4,
    "in_chans": 1,
    "embed_dim": 16,
    "depth": 2,
    "num_heads": 2,
    "mlp_ratio": 3.0,
    "init": "fan_in",
}
DEIT = {"name": "deit_tiny_distilled_patch16_224", **SMALL}
PLAIN = {"name": "deit_small_patch16_224", **SMALL, "num_heads": 4}
CAIT = {"name": "cait_xxs24_224", **SMALL, "depth_token_only": 1, "init_scale": 1.0}
DISTILLED_CAIT = {**CAIT, "name": "cait_xxs24_distilled_224"}
FOREIGN = {"name": "resnet10t", "img_size": 8, "in_chans": 1}
KINDS: dict[str, dict[str, Any]] = {
    "distilled": {"model": DEIT, **HARD},
    "softmax": {"model": DEIT | {"fusion": "softmax"}, **HARD},
    "untrained head": {"model": DEIT},
    "untrained head, softmax": {"model": DEIT | {"fusion": "softmax"}},
    "plain": {"model": PLAIN},
    "cait": {"model": CAIT},
    "distilled cait": {"model": DISTILLED_CAIT, **HARD},
    "untrained head, cait": {"model": DISTILLED_CAIT},
    "timm's": {"model": FOREIGN},
}


def export(run: RunDir, form: Format, **options: Any) -> Exported:
    return export_run(open_finished(run.path), form, **options)


@torch.no_grad()
def predictions(run: RunDir, images: Tensor, weights: Path | None = None) -> Tensor:
    """What the run's own evaluation calls fused: the class head where the other is untrained."""
    config = run.read_config()
    model = build_model(config.model, num_classes=10, seed=0).eval()
    load_weights(model, weights or run.weights_file)
    heads = head_logits(model, images)
    if config.distill.kind == "none" or heads.dist_logits is None:
        return heads.cls_logits
    return fuse(*heads, config.model.fusion)


def images_for(record: ExportRecord, batch: int) -> Tensor:
    shape = (batch, record.in_chans, record.img_size, record.img_size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(batch))


def loaded_by(line: str, names: dict[str, Any]) -> dict[str, Any]:
    """Run the printed line; what it assigns, and `value` for an expression."""
    scope = dict(names)
    exec(line if " = " in line.partition("(")[0] else f"value = {line}", scope)
    return scope


# safetensors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_safetensors_file_is_all_that_is_needed(
    make_run: RunFactory, tmp_path: Path, kind: str
) -> None:
    run = finish(make_run("run", **KINDS[kind]), val_top1=12.5)
    exported = export(run, "safetensors")
    assert exported.path == run.path / "export" / "model.safetensors"
    moved = Path(shutil.move(exported.path, tmp_path / "elsewhere.safetensors"))
    images = images_for(exported.record, 3)
    expected = predictions(run, images)
    shutil.rmtree(run.path)
    model, record = load_exported(moved)
    with torch.no_grad():
        assert torch.equal(model(images), expected)
    assert record == exported.record
    assert record.class_names == tuple("0123456789")
    assert (record.img_size, record.in_chans, record.num_classes) == (8, 1, 10)
    assert (record.mean, record.std) == ((0.3053,), (0.3760,))
    assert (record.val_top1, record.val_images) == (12.5, 50)
    assert record.class_head_only == kind.startswith("untrained head")
    assert record.output == ("log_probabilities" if kind == "softmax" else "logits")


def test_ema_weights_are_exported_apart(make_run: RunFactory) -> None:
    run = finish(make_run("run", **HARD), ema=True, val_ema_top1=7.0)
    last, ema = export(run, "safetensors"), export(run, "safetensors", weights="ema")
    assert (last.path.name, ema.path.name) == ("model.safetensors", "model_ema.safetensors")
    assert (ema.record.weights, ema.record.val_top1) == ("ema", 7.0)
    images = images_for(ema.record, 3)
    with torch.no_grad():
        assert torch.equal(
            load_exported(ema.path).model(images), predictions(run, images, run.ema_weights_file)
        )


@pytest.mark.parametrize("side", [24, 40])
def test_the_record_says_how_images_are_prepared(
    make_run: RunFactory, tmp_path: Path, side: int
) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for label in ("a", "b"):
            folder = tmp_path / "images" / split / label
            folder.mkdir(parents=True)
            pixels = rng.integers(0, 256, (60, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "0.png")
    data = {"source": "image_folder", "root": str(tmp_path / "images")}
    data |= {"train_images": None, "val_images": None}
    model = DEIT | {"in_chans": 3, "img_size": side}
    run = finish(make_run("run", data=data, model=model, **HARD), num_classes=2, val_images=2)
    save_weights(build_model(run.read_config().model, num_classes=2, seed=0), run.weights_file)
    record = export(run, "safetensors").record
    assert record.class_names == ("a", "b")
    prepared = []
    for file in sorted((tmp_path / "images" / "val").rglob("*.png")):
        image = Image.open(file)
        if record.resize_shorter_side is None:
            image = image.resize((side, side), Image.Resampling.BICUBIC)
        else:
            shorter = record.resize_shorter_side
            size = (shorter, int(shorter * image.height / image.width))
            image = image.resize(size, Image.Resampling.BICUBIC)
            left, top = round((image.width - side) / 2), round((image.height - side) / 2)
            image = image.crop((left, top, left + side, top + side))
        pixels = np.asarray(image, dtype=np.float32) / 255
        prepared.append((pixels - np.float32(record.mean)) / np.float32(record.std))
    found = torch.from_numpy(np.stack(prepared)).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, val_of(run)[0])


# timm -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    ["distilled", "untrained head", "untrained head, softmax", "plain", "cait", "timm's"],
)
def test_the_printed_line_loads_into_timm(make_run: RunFactory, kind: str) -> None:
    run = finish(make_run("run", **KINDS[kind]))
    exported = export(run, "timm")
    model = loaded_by(exported.load_with, {"timm": timm})["value"].eval()
    assert type(model).__module__.startswith("timm.")
    for batch in (1, 3):
        images = images_for(exported.record, batch)
        with torch.no_grad():
            torch.testing.assert_close(
                model(images), predictions(run, images), rtol=1e-5, atol=1e-5
            )


def test_sizes_that_are_the_names_own_are_not_repeated(make_run: RunFactory) -> None:
    run = finish(make_run("run", model=PLAIN))
    line = export(run, "timm").load_with
    assert line.startswith("timm.create_model('deit_small_patch16_224', checkpoint_path='/")
    assert line.endswith(
        "num_classes=10, in_chans=1, img_size=8, patch_size=4, embed_dim=16, depth=2, "
        "num_heads=4, mlp_ratio=3.0)"
    )


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("distilled cait", "timm has no CaiT with a distillation token"),
        ("softmax", "timm averages the logits of two heads"),
    ],
)
def test_what_timm_does_not_have_is_refused(make_run: RunFactory, kind: str, message: str) -> None:
    run = finish(make_run("run", **KINDS[kind]))
    with pytest.raises(ExportError, match=message) as error:
        export(run, "timm")
    assert "export it --to safetensors, onnx or torch-export" in str(error.value)
    assert not run.export_dir.exists()


# graphs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["distilled", "distilled cait"])
def test_a_torch_export_file_needs_no_code(make_run: RunFactory, kind: str) -> None:
    run = finish(make_run("run", **KINDS[kind]))
    exported = export(run, "torch-export")
    assert exported.path.name == "model.pt2"
    model = loaded_by(exported.load_with, {"torch": torch})["model"]
    for batch in (1, 2, 3, 8):
        images = images_for(exported.record, batch)
        torch.testing.assert_close(model(images), predictions(run, images), rtol=1e-5, atol=1e-5)
    found = {EXTRA_FILE: ""}
    torch.export.load(exported.path, extra_files=found)
    values = json.loads(found[EXTRA_FILE])
    assert ExportRecord.from_json(values, "pt2") == exported.record


@pytest.mark.parametrize("kind", ["softmax", "distilled cait"])
def test_an_onnx_file_answers_in_onnxruntime(make_run: RunFactory, kind: str) -> None:
    run = finish(make_run("run", **KINDS[kind]))
    exported = export(run, "onnx")
    assert exported.notes == ()
    assert [path.name for path in run.export_dir.iterdir()] == ["model.onnx"]
    session = loaded_by(exported.load_with, {"onnxruntime": onnxruntime})["session"]
    (given,), (answer,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape) == ("images", "tensor(float)", ["batch", 1, 8, 8])
    assert (answer.name, answer.shape) == ("logits", ["batch", 10])
    for batch in (1, 3):
        images = images_for(exported.record, batch)
        (logits,) = session.run(None, {"images": images.numpy()})
        torch.testing.assert_close(
            torch.from_numpy(logits), predictions(run, images), rtol=1e-4, atol=1e-4
        )
    values = json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
    assert ExportRecord.from_json(values, "onnx") == exported.record


def test_without_the_exporters_libraries_the_extra_is_named(
    make_run: RunFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, real = finish(make_run("run")), importlib.util.find_spec
    missing = {"onnx", "onnxscript"}

    def find_spec(name: str, *rest: Any) -> Any:
        return None if name in missing else real(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    with pytest.raises(ExportError, match=r"needs onnx and onnxscript; .*deit-sweeps\[export\]"):
        export(run, "onnx")


# what goes wrong --------------------------------------------------------------------------------


def test_a_file_that_answers_otherwise_is_not_written(
    make_run: RunFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finish(make_run("run"))
    finished = open_finished(run.path)
    spoiled = load_model(finished)
    with torch.no_grad():
        spoiled.get_parameter("head.bias").add_(1e-3)
    monkeypatch.setattr(write.timm_file, "timm_twin", lambda *_: Stubborn(spoiled))
    with pytest.raises(ExportError, match=r"nothing is written: the exported logits of .* differ"):
        export_run(finished, "timm")
    assert not run.export_dir.exists()


class Stubborn(torch.nn.Module):
    """Takes any weights and answers as before."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.answer = model

    def load_state_dict(self, *_: Any) -> None:  # type: ignore[override]
        return

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.answer(images)
        return logits


def test_a_file_is_replaced_only_when_asked(make_run: RunFactory, tmp_path: Path) -> None:
    run = finish(make_run("run"))
    path = tmp_path / "mine.safetensors"
    path.write_text("precious")
    with pytest.raises(ExportError, match=r"exists; replace it with --force"):
        export(run, "safetensors", output=path)
    assert path.read_text() == "precious"
    assert export(run, "safetensors", output=path, force=True).path == path
    assert load_exported(path).record.trial_id == run.read_trial().trial_id


@pytest.mark.parametrize("form", SUFFIXES)
def test_names_have_the_formats_suffix(make_run: RunFactory, tmp_path: Path, form: Format) -> None:
    run = finish(make_run("run"))
    with pytest.raises(ExportError, match=f"give a name that ends in {SUFFIXES[form]}"):
        export(run, form, output=tmp_path / "model.bin")
    folder = tmp_path / f"folder{SUFFIXES[form]}"
    folder.mkdir()
    with pytest.raises(ExportError, match="is a folder"):
        export(run, form, output=folder, force=True)


def test_without_the_data_there_are_no_class_names(make_run: RunFactory, tmp_path: Path) -> None:
    data = {"source": "image_folder", "root": str(tmp_path / "gone")}
    data |= {"train_images": None, "val_images": None}
    run = finish(make_run("run", data=data), val_images=50)
    exported = export(run, "safetensors")
    assert exported.record.class_names is None
    (note,) = exported.notes
    assert note.startswith(f"the file has no class names: data.root {tmp_path / 'gone'} does not")


def test_other_classes_than_in_training_are_refused(make_run: RunFactory) -> None:
    run = finish(make_run("run", model=PLAIN), num_classes=3)
    save_weights(build_model(run.read_config().model, num_classes=3, seed=0), run.weights_file)
    with pytest.raises(ExportError, match="trained on 3 classes, but its data now has 10"):
        export(run, "safetensors")


def test_runs_that_are_not_finished_are_refused(make_run: RunFactory) -> None:
    with pytest.raises(UserError, match="is pending, not completed"):
        export(make_run("pending"), "safetensors")
    damaged = finish(make_run("damaged"))
    damaged.weights_file.write_bytes(b"nothing of use")
    with pytest.raises(CheckpointError, match="is damaged"):
        export(damaged, "safetensors")


def test_files_that_are_no_export(make_run: RunFactory, tmp_path: Path) -> None:
    run = finish(make_run("run"))
    whole = export(run, "safetensors").path.read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    newer = whole.replace(b'\\"schema_version\\": 1', b'\\"schema_version\\": 9')
    (tmp_path / "newer.safetensors").write_bytes(newer)
    other = whole.replace(b"deit_tiny_distilled", b"deit_huge_distilled")
    (tmp_path / "other.safetensors").write_bytes(other)
    for path, message in (
        (tmp_path / "nowhere.safetensors", "is missing"),
        (tmp_path / "cut.safetensors", "is damaged"),
        (tmp_path / "newer.safetensors", "schema version 9"),
        (tmp_path / "other.safetensors", "does not fit this version"),
        (run.weights_file, "holds weights without a config"),
        (tmp_path, "cannot read"),
    ):
        with pytest.raises(CheckpointError, match=message) as error:
            load_exported(path)
        assert "\n" not in str(error.value)


# the command ------------------------------------------------------------------------------------


def test_the_command_says_how_to_load(
    make_run: RunFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    import deit_core.export

    run = finish(make_run("run", **HARD))
    assert main([str(run.path), "--to", "safetensors"]) == 0
    printed = capsys.readouterr()
    first, second = printed.out.splitlines()
    assert first.startswith(f"{run.path / 'export' / 'model.safetensors'} (")
    scope = loaded_by(second, {"deit_core": deit_core})
    assert scope["record"].name == "run"
    assert printed.err == ""


def test_mistakes_are_one_line_and_exit_code_2(
    make_run: RunFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run("run")
    assert main([str(run.path), "--to", "onnx"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {run.path} is pending, not completed")
    assert error.count("\n") == 1
    with pytest.raises(SystemExit):
        main([str(run.path), "--to", "tflite"])
    assert "invalid choice: 'tflite'" in capsys.readouterr().err
