"""The frozen teacher: what it answers, where it comes from, and what it says when it cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from deit_core.config import DataConfig, TeacherConfig
from deit_core.distill.teacher import Normalisation, Teacher, load_teacher
from deit_core.errors import TeacherError
from deit_core.identity import resolve
from deit_core.models import build_model, create_model, head_logits, save_weights
from deit_core.records import StatusRecord, SummaryRecord
from deit_core.run_dir import RunDir

RunFactory = Callable[..., RunDir]
CPU = torch.device("cpu")
GREY = DataConfig(source="digits", mean=(0.3,), std=(0.4,))
COLOUR = DataConfig(root="/nowhere", mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
SMALL = {"patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 2}
DISTILLED = "deit_tiny_distilled_patch16_224"


def load(
    config: TeacherConfig,
    run_dir: Path,
    *,
    data: DataConfig = GREY,
    num_classes: int = 10,
    img_size: int = 8,
) -> Teacher:
    assert data.mean is not None
    return load_teacher(
        config,
        run_dir=run_dir,
        data=data,
        num_classes=num_classes,
        in_chans=len(data.mean),
        img_size=img_size,
        device=CPU,
    )


def refused(config: TeacherConfig, run_dir: Path, **values: Any) -> str:
    with pytest.raises(TeacherError) as error:
        load(config, run_dir, **values)
    assert "\n" not in str(error.value)
    return str(error.value)


def pixels(channels: int, side: int = 8) -> Tensor:
    return torch.rand(3, channels, side, side, generator=torch.Generator().manual_seed(0))


def normalised(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    return (images - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)


# what it answers --------------------------------------------------------------------------------


def test_a_teacher_is_frozen_and_deterministic() -> None:
    model = create_model(DISTILLED, num_classes=3, img_size=8, drop_rate=0.5, **SMALL).train()
    teacher = Teacher(model, Normalisation((0.5,) * 3, (0.5,) * 3))
    images = torch.rand(2, 3, 8, 8, requires_grad=True)
    logits = teacher(images)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not logits.requires_grad
    assert torch.equal(teacher(images), logits)


class Pixels(nn.Module):
    """Answers with the first pixel of each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        return images[:, :, 0, 0] * self.weight


def test_images_reach_the_teacher_in_its_own_normalisation() -> None:
    stream, own = Normalisation((0.5, 0.4), (0.2, 0.3)), Normalisation((0.1, 0.2), (0.5, 0.6))
    images = pixels(2)
    answer = Teacher(Pixels(), stream, own)(normalised(images, stream.mean, stream.std))
    expected = normalised(images, own.mean, own.std)[:, :, 0, 0]
    torch.testing.assert_close(answer, expected)


def test_an_equal_normalisation_changes_no_bit() -> None:
    stream, images = Normalisation((0.5,), (0.2,)), pixels(1)
    answer = Teacher(Pixels(), stream, Normalisation((0.5,), (0.2,)))(images)
    assert torch.equal(answer, images[:, :, 0, 0])


def test_grey_images_become_colour_images_without_colour() -> None:
    stream, own = Normalisation((0.5,), (0.2,)), Normalisation((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    images = pixels(1)
    answer = Teacher(Pixels(), stream, own)(normalised(images, stream.mean, stream.std))
    expected = normalised(images.expand(-1, 3, -1, -1), own.mean, own.std)[:, :, 0, 0]
    torch.testing.assert_close(answer, expected)


# a checkpoint file ------------------------------------------------------------------------------


def checkpoint(path: Path, classes: int = 10, **kwargs: Any) -> TeacherConfig:
    sizes = SMALL | {"in_chans": 1} | kwargs
    save_weights(create_model(DISTILLED, num_classes=classes, img_size=8, **sizes), path)
    return TeacherConfig(name=DISTILLED, checkpoint=str(path), kwargs=SMALL | kwargs)


def test_a_checkpoint_answers_as_its_model_does(tmp_path: Path) -> None:
    config = checkpoint(tmp_path / "t.safetensors")
    model = create_model(DISTILLED, num_classes=10, img_size=8, in_chans=1, **SMALL).eval()
    save_weights(model, tmp_path / "t.safetensors")
    assert torch.equal(load(config, tmp_path)(pixels(1)), model(pixels(1)))


def test_a_colour_checkpoint_teaches_on_grey_images(tmp_path: Path) -> None:
    teacher = load(checkpoint(tmp_path / "t.safetensors", in_chans=3), tmp_path)
    torch.testing.assert_close(teacher(pixels(1)), teacher.model(pixels(1).expand(-1, 3, -1, -1)))


def test_a_timm_checkpoint_in_the_references_layout(tmp_path: Path) -> None:
    from deit_core.models.timm_import import timm

    model = timm.create_model("resnet10t", num_classes=10).eval()
    torch.save({"model": model.state_dict()}, tmp_path / "t.pth")
    config = TeacherConfig(name="resnet10t", checkpoint=str(tmp_path / "t.pth"))
    teacher = load(config, tmp_path, data=COLOUR, img_size=32)
    images = pixels(3, side=32)
    with torch.no_grad():
        assert torch.equal(teacher(images), model(images))


def test_loading_leaves_the_global_generator_alone(tmp_path: Path) -> None:
    config = checkpoint(tmp_path / "t.safetensors")
    before = torch.get_rng_state()
    load(config, tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_class_counts_that_differ_are_both_named(tmp_path: Path) -> None:
    config = checkpoint(tmp_path / "t.safetensors", classes=1000)
    message = refused(config, tmp_path)
    assert "t.safetensors knows 1000 classes, the data has 10" in message
    assert "use a teacher that was trained on these classes" in message


def test_a_checkpoint_of_another_model(tmp_path: Path) -> None:
    config = checkpoint(tmp_path / "t.safetensors")
    other = config.model_copy(update={"kwargs": SMALL | {"depth": 3}})
    assert "12 missing: blocks.2." in refused(other, tmp_path)


def test_a_checkpoint_that_is_missing_or_damaged(tmp_path: Path) -> None:
    config = checkpoint(tmp_path / "t.safetensors")
    (tmp_path / "t.safetensors").write_bytes(b"nothing of use")
    assert "t.safetensors is damaged" in refused(config, tmp_path)
    (tmp_path / "t.safetensors").unlink()
    assert "No such file" in refused(config, tmp_path)


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("resnet10x", {}, "there is no model 'resnet10x'"),
        ("resnet10t", {"num_classes": 10}, "teacher.kwargs: num_classes is given; leave it out"),
        ("resnet10t", {"widht": 10}, "resnet10t takes no argument 'widht'"),
        (DISTILLED, {"widht": 10}, "has no 'widht' to override"),
    ],
)
def test_names_and_arguments_that_cannot_be(
    name: str, kwargs: dict[str, Any], message: str, tmp_path: Path
) -> None:
    config = checkpoint(tmp_path / "t.safetensors")
    config = config.model_copy(update={"name": name, "kwargs": kwargs})
    assert message in refused(config, tmp_path)


# timm's published weights -----------------------------------------------------------------------


def published(path: Path, **kwargs: Any) -> TeacherConfig:
    """A pretrained timm model whose published file lies on this disk."""
    from deit_core.models.timm_import import timm

    model = timm.create_model("resnet10t")
    torch.save(model.state_dict(), path)
    overlay = {"file": str(path), "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
    kwargs |= {"pretrained_cfg_overlay": overlay}
    return TeacherConfig(name="resnet10t", pretrained=True, kwargs=kwargs)


def test_a_pretrained_teacher_sees_its_published_normalisation(tmp_path: Path) -> None:
    config = published(tmp_path / "t.pth")
    teacher = load(config, tmp_path, data=COLOUR, num_classes=1000, img_size=32)
    assert COLOUR.mean is not None
    assert COLOUR.std is not None
    images = pixels(3, side=32)
    answer = teacher(normalised(images, COLOUR.mean, COLOUR.std))
    with torch.no_grad():
        expected = teacher.model(normalised(images, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)))
    torch.testing.assert_close(answer, expected, atol=1e-4, rtol=1e-4)
    saved = torch.load(tmp_path / "t.pth", weights_only=True)
    assert torch.equal(saved["fc.weight"], teacher.model.state_dict()["fc.weight"])


def test_a_pretrained_teacher_of_other_classes(tmp_path: Path) -> None:
    message = refused(published(tmp_path / "t.pth"), tmp_path, data=COLOUR, img_size=32)
    assert "knows 1000 classes, the data has 10" in message


def test_a_pretrained_teacher_of_other_channels(tmp_path: Path) -> None:
    two = DataConfig(source="digits", mean=(0.5, 0.5), std=(0.5, 0.5))
    message = refused(published(tmp_path / "t.pth"), tmp_path, data=two, img_size=32)
    assert "takes images of 3 channels, the data has 2; set model.in_chans: 3" in message


def test_published_weights_that_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = published(tmp_path / "t.pth")
    (tmp_path / "t.pth").unlink()
    message = refused(config, tmp_path, data=COLOUR, num_classes=1000, img_size=32)
    assert "timm cannot build resnet10t" in message
    assert message.endswith("; or give its weights as teacher.checkpoint")


# another trial ----------------------------------------------------------------------------------


def finish(run: RunDir, num_classes: int = 10) -> nn.Module:
    """Give a run directory the results of a finished trial."""
    trial, config = run.read_trial(), resolve(run.read_config())
    model = build_model(config.model, num_classes=num_classes, seed=3).eval()
    save_weights(model, run.weights_file)
    run.write_summary(
        SummaryRecord(
            trial_id=trial.trial_id,
            epochs=1.0,
            steps=5,
            val_images=50,
            val_top1=50.0,
            val_top5=90.0,
            val_loss=1.0,
            val_top1_cls=50.0,
            val_top1_dist=40.0 if config.distill.kind != "none" else None,
            train_loss=1.0,
            train_images=80,
            num_classes=num_classes,
            parameters=1,
            train_s=1.0,
            finished_unix_s=0.0,
        )
    )
    return model


def of_trial(run: RunDir) -> TeacherConfig:
    return TeacherConfig(trial=run.path.name)


def digits_of(run: RunDir) -> DataConfig:
    return resolve(run.read_config()).data


def test_a_finished_trial_teaches_with_its_final_weights(
    make_run: RunFactory, tmp_path: Path
) -> None:
    run = make_run("trials/t1")
    model = finish(run)
    teacher = load(of_trial(run), tmp_path / "trials" / "student", data=digits_of(run))
    with torch.no_grad():
        expected = head_logits(model, pixels(1)).cls_logits
    assert torch.equal(teacher(pixels(1)), expected)


def test_a_distilled_trial_teaches_with_both_heads_if_both_have_learned(
    make_run: RunFactory, tmp_path: Path
) -> None:
    run = make_run("trials/t1", distill={"kind": "hard"}, teacher={"trial": "0" * 12})
    model = finish(run)
    teacher = load(of_trial(run), tmp_path / "trials" / "student", data=digits_of(run))
    with torch.no_grad():
        assert torch.equal(teacher(pixels(1)), model(pixels(1)))


def test_a_trial_trained_under_another_normalisation_keeps_it(
    make_run: RunFactory, tmp_path: Path
) -> None:
    run = make_run("trials/t1", data={"mean": [0.1], "std": [0.9]})
    model = finish(run)
    teacher = load(of_trial(run), tmp_path / "trials" / "student", data=GREY)
    answer = teacher(normalised(pixels(1), (0.3,), (0.4,)))
    with torch.no_grad():
        expected = head_logits(model, normalised(pixels(1), (0.1,), (0.9,))).cls_logits
    torch.testing.assert_close(answer, expected, atol=1e-5, rtol=1e-4)


def test_a_trial_that_is_not_there(tmp_path: Path) -> None:
    message = refused(TeacherConfig(trial="0123456789ab"), tmp_path / "trials" / "student")
    assert f"the teacher trial 0123456789ab is not in {tmp_path / 'trials'}" in message
    assert "run the sweep that trains it first" in message


@pytest.mark.parametrize("state", ["pending", "running", "failed"])
def test_an_unfinished_trial_says_its_state(
    state: Any, make_run: RunFactory, tmp_path: Path
) -> None:
    run = make_run("trials/t1")
    run.write_status(StatusRecord(state=state, reason="no reason at all"))
    message = refused(of_trial(run), tmp_path / "trials" / "student")
    assert f"the teacher trial t1 is {state} (no reason at all), not completed" in message


def test_a_trial_of_other_classes_or_image_size(make_run: RunFactory, tmp_path: Path) -> None:
    run, student = make_run("trials/t1"), tmp_path / "trials" / "student"
    finish(run, num_classes=7)
    message = refused(of_trial(run), student)
    assert "the teacher trial t1 knows 7 classes, the data has 10" in message
    finish(run)
    message = refused(of_trial(run), student, img_size=12)
    assert "cannot take the student's images (1, 12, 12)" in message
    assert "the model takes (1, 8, 8)" in message


def test_a_trial_whose_weights_are_gone(make_run: RunFactory, tmp_path: Path) -> None:
    run = make_run("trials/t1")
    finish(run)
    run.weights_file.unlink()
    message = refused(of_trial(run), tmp_path / "trials" / "student")
    assert "model.safetensors: No such file" in message
