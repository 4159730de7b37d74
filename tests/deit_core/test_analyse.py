"""Who decides like whom: disagreement, accuracy by head, likeness of tokens."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from finished_support import HARD, finish, val_of
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from deit_core.analyse.__main__ import main
from deit_core.analyse.disagreement import disagreement_matrix
from deit_core.analyse.measure import Analysis, Options, analyse
from deit_core.analyse.select import open_runs
from deit_core.analyse.show import show
from deit_core.analyse.token_cosine import TokenCosineMeter
from deit_core.errors import AnalysisError, UserError
from deit_core.finished import load_model, open_finished
from deit_core.models import create_model, head_logits, save_weights
from deit_core.models.base import Distilled
from deit_core.records import AnalysisRecord, PlannedTrial, PlanRecord, StatusRecord
from deit_core.run_dir import RunDir, write_json

Job = Callable[..., Any]
RunFactory = Callable[..., RunDir]
CAIT = {
    "name": "cait_xxs24_distilled_224",
    "img_size": 8,
    "patch_size": 4,
    "in_chans": 1,
    "embed_dim": 16,
    "depth": 2,
    "depth_token_only": 2,
    "num_heads": 2,
    "init": "fan_in",
    "init_scale": 1.0,
}


def analysed(*runs: RunDir, **options: Any) -> Analysis:
    return analyse(open_runs([run.path for run in runs]), Options(device="cpu", **options))


def rate(analysis: Analysis, one: str, other: str) -> float:
    names = analysis.decision_makers
    return analysis.disagreement[names.index(one)][names.index(other)]


# disagreement -----------------------------------------------------------------------------------


@given(st.lists(st.lists(st.integers(0, 3), min_size=7, max_size=7), min_size=1, max_size=6))
def test_disagreement_is_a_distance(decisions: list[list[int]]) -> None:
    matrix = disagreement_matrix(torch.tensor(decisions))
    assert torch.equal(matrix, matrix.T)
    assert not matrix.diagonal().any()
    assert ((matrix >= 0) & (matrix <= 1)).all()
    detour = matrix[:, :, None] + matrix[None, :, :]  # from a to c by way of b, axes a, b, c
    assert (matrix[:, None, :] <= detour + 1e-12).all()


def test_disagreement_counts_images() -> None:
    matrix = disagreement_matrix(torch.tensor([[0, 1, 2, 3], [0, 1, 0, 0], [0, 1, 2, 0]]))
    assert matrix[0].tolist() == [0.0, 0.5, 0.25]


def test_disagreement_with_the_ground_truth_is_one_minus_accuracy(make_run: RunFactory) -> None:
    plain = finish(make_run("plain", seed=3))
    distilled = finish(make_run("distilled", **HARD))
    analysis = analysed(plain, distilled)
    assert analysis.decision_makers == (
        "ground truth",
        "plain",
        "distilled/cls",
        "distilled/dist",
        "distilled/fused",
    )
    for record in analysis.records:
        for head in record.heads.values():
            assert rate(analysis, "ground truth", head.name) == pytest.approx(1 - head.top1 / 100)
            assert head.disagreement["ground truth"] == pytest.approx(1 - head.top1 / 100)
            assert head.disagreement.keys() == {*analysis.decision_makers} - {head.name}
            assert head.top1 <= head.top5


# accuracy by head -------------------------------------------------------------------------------


@pytest.mark.parametrize("fusion", ["logits", "softmax"])
def test_each_head_is_scored_as_its_logits_say(make_run: RunFactory, fusion: str) -> None:
    run = finish(make_run("run", model={"fusion": fusion}, **HARD))
    (record,) = analysed(run).records
    images, labels = val_of(run)
    model = load_model(open_finished(run.path))
    cls_logits, dist_logits = head_logits(model, images)
    assert dist_logits is not None
    both = [cls_logits, dist_logits]
    if fusion == "softmax":
        both = [logits.softmax(1) for logits in both]
    for name, logits in {"cls": cls_logits, "dist": dist_logits, "fused": sum(both)}.items():
        hits = logits.argsort(dim=1, descending=True)[:, :5] == labels[:, None]
        found = record.heads[name]
        assert found.top1 == pytest.approx(100 * hits[:, 0].double().mean().item())
        assert found.top5 == pytest.approx(100 * hits.any(dim=1).double().mean().item())
    assert (record.images, record.unreadable_images) == (50, 0)


def test_a_head_that_was_never_trained_has_no_say(make_run: RunFactory) -> None:
    run = finish(make_run("run"))
    analysis = analysed(run)
    assert analysis.decision_makers == ("ground truth", "run")
    assert analysis.records[0].heads.keys() == {"cls"}
    assert analysis.records[0].teacher_missing == "trained without a teacher"
    assert analysis.records[0].token_cosine is not None  # the tokens are there, and attention


def test_analysis_repeats_the_last_evaluation_of_training(make_run: RunFactory, job: Job) -> None:
    teacher = finish(make_run("t", model={"name": "resnet10t", "img_size": 8, "in_chans": 1}))
    named = RunDir(teacher.path.rename(teacher.path.with_name(teacher.read_trial().trial_id)))
    sections: dict[str, Any] = {"distill": {"kind": "hard"}, "teacher": {"trial": named.path.name}}
    run = make_run("run", train={"duration": "2ep"}, **sections)
    job(run)
    summary, row = run.read_summary(), run.read_metrics()[-1]
    assert summary is not None
    (last,) = analysed(run, batch_size=7, threads=1).records
    assert last.heads["fused"].top1 == pytest.approx(summary.val_top1)
    assert last.heads["fused"].loss == pytest.approx(row["val_loss"], rel=1e-5)
    assert last.heads["cls"].top1 == pytest.approx(summary.val_top1_cls)
    assert last.heads["dist"].top1 == pytest.approx(summary.val_top1_dist)
    assert last.heads["dist"].top5 == pytest.approx(row["val_top5_dist"])
    assert last.teacher is not None
    assert last.teacher.name == "teacher"
    assert last.teacher.top1 == pytest.approx(summary.teacher_val_top1)
    (ema,) = analysed(run, weights="ema").records
    assert ema.heads["fused"].top1 == pytest.approx(summary.val_ema_top1)
    both = analysed(run, named)
    assert rate(both, "teacher", "t") == 0


def test_bfloat16_runs_are_looked_at_in_bfloat16(make_run: RunFactory) -> None:
    plain = finish(make_run("plain", **HARD))
    half = finish(make_run("half", train={"precision": "bf16"}, **HARD))
    analysis = analysed(plain, half)
    one, other = (record.heads["fused"].loss for record in analysis.records)
    assert one != other
    assert one == pytest.approx(other, rel=0.05)


# tokens -----------------------------------------------------------------------------------------


def distilled(name: str, **values: Any) -> Distilled:
    model = create_model(
        name,
        **{"num_classes": 4, "img_size": 8, "patch_size": 4, "embed_dim": 16, "depth": 2}
        | {"num_heads": 2}
        | values,
    )
    assert isinstance(model, Distilled)
    return model.eval()


DEIT, CAIT_NAME = "deit_tiny_distilled_patch16_224", "cait_xxs24_distilled_224"


def cosines(model: Distilled) -> dict[str, float | None]:
    meter = TokenCosineMeter(model)
    images = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), meter.watching():
        head_logits(model, images[:3])
        head_logits(model, images[3:])
    with torch.no_grad():
        head_logits(model, images[:1])  # not watched, not counted
    return {item.place: item.cosine for item in meter.result()}


@pytest.mark.parametrize(
    ("name", "values"), [(DEIT, {}), (CAIT_NAME, {"init_scale": 1.0, "depth_token_only": 2})]
)
def test_equal_tokens_stay_equal(name: str, values: dict[str, Any]) -> None:
    model = distilled(name, **values)
    with torch.no_grad():
        model.dist_token.copy_(model.cls_token)
        if model.embeds_prefix:
            model.pos_embed[:, 1] = model.pos_embed[:, 0]
    found = cosines(model)
    assert list(found) == ["learned", "input", "block 1", "block 2", "norm"]
    assert found == pytest.approx(dict.fromkeys(found, 1.0))


def test_places_are_those_of_a_pass_by_hand() -> None:
    model = distilled(DEIT)
    found = cosines(model)
    images = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    tokens = {"learned": torch.cat([model.cls_token, model.dist_token], dim=1)}
    with torch.no_grad():
        prefix = tokens["learned"].expand(5, -1, -1)
        x = torch.cat([prefix, model.patch_embed(images)], dim=1) + model.pos_embed
        tokens["input"] = x
        for number, block in enumerate(model.get_submodule("blocks").children(), start=1):
            x = tokens[f"block {number}"] = block(x)
        tokens["norm"] = model.get_submodule("norm")(x)
    for place, x in tokens.items():
        expected = torch.cosine_similarity(x[:, 0], x[:, 1], dim=1).mean().item()
        assert found[place] == pytest.approx(expected, abs=1e-5), place


def test_opposite_tokens_of_cait_enter_opposite() -> None:
    model = distilled(CAIT_NAME)
    with torch.no_grad():
        model.dist_token.copy_(-model.cls_token)
    found = cosines(model)
    assert (found["learned"], found["input"]) == pytest.approx((-1.0, -1.0))
    assert found["norm"] != pytest.approx(-1.0)


def test_a_model_without_the_token_says_so(make_run: RunFactory) -> None:
    plain = finish(make_run("plain", model={"name": "deit_tiny_patch16_224", **SMALL}))
    cait = finish(make_run("cait", model=CAIT, **HARD))
    first, second = analysed(plain, cait).records
    assert first.token_cosine is None
    assert first.token_cosine_missing == "deit_tiny_patch16_224 has no distillation token"
    assert second.token_cosine is not None
    assert [item.place for item in second.token_cosine][-2:] == ["block 2", "norm"]


SMALL = {
    "img_size": 8,
    "patch_size": 4,
    "in_chans": 1,
    "embed_dim": 16,
    "depth": 2,
    "num_heads": 2,
    "init": "fan_in",
}


# which runs, which images -----------------------------------------------------------------------


def test_runs_of_other_sizes_are_compared_image_by_image(make_run: RunFactory) -> None:
    small = finish(make_run("small", **HARD))
    large = finish(make_run("large", model={"img_size": 16}, eval={"batch_size": 9}, **HARD))
    analysis = analysed(small, large)
    alone = analysed(large)
    for head in ("cls", "dist", "fused"):
        name = f"large/{head}"
        assert rate(analysis, "ground truth", name) == rate(alone, "ground truth", name)
    assert [record.name for record in analysis.records] == ["small", "large"]
    assert analysis.records[0].decision_makers == analysis.records[1].decision_makers


def test_some_images_are_a_balanced_subset(make_run: RunFactory) -> None:
    run = finish(make_run("run", **HARD))
    same = finish(make_run("same", data={"val_images": 20}, **HARD))
    some, all_of_them = analysed(run, images=20), analysed(same)
    assert some.records[0].images == 20
    assert some.disagreement == all_of_them.disagreement
    assert torch.bincount(val_of(same)[1]).tolist() == [2] * 10
    with pytest.raises(AnalysisError, match=r"51 images are asked for, but .*run was"):
        analysed(run, images=51)


def test_other_images_or_classes_are_no_comparison(make_run: RunFactory) -> None:
    run = finish(make_run("run"))
    fewer = finish(make_run("fewer", data={"val_images": 40}))
    with pytest.raises(AnalysisError, match=r"data.val_images is 50 and 40; compare runs"):
        analysed(run, fewer)
    drawn = finish(make_run("drawn", data={"subset_seed": 7}))
    with pytest.raises(AnalysisError, match=r"data.subset_seed is 0 and 7"):
        analysed(run, drawn)
    classes = finish(make_run("classes", seed=1), num_classes=11)
    with pytest.raises(AnalysisError, match=r"knows 10 classes, .*classes 11"):
        analysed(run, classes)
    assert analysed(run, fewer, images=30).records[1].images == 30


def test_images_that_cannot_be_read_are_left_out_for_all(
    make_run: RunFactory, tmp_path: Path
) -> None:
    for split in ("train", "val"):
        for label in range(10):
            folder = tmp_path / "images" / split / str(label)
            folder.mkdir(parents=True)
            for number in range(2):
                Image.new("L", (12, 10), 20 * label + number).save(folder / f"{number}.png")
    (tmp_path / "images" / "val" / "3" / "0.png").write_bytes(b"no image")
    data = {"source": "image_folder", "root": str(tmp_path / "images")}
    data |= {"train_images": None, "val_images": None}
    run = finish(make_run("run", data=data, **HARD), val_images=19)
    large = finish(make_run("large", data=data, model={"img_size": 16}, **HARD), val_images=19)
    for record in analysed(run, large, batch_size=1).records:
        assert (record.images, record.unreadable_images) == (19, 1)


def test_a_sweep_folder_stands_for_its_completed_students(
    make_run: RunFactory, tmp_path: Path
) -> None:
    runs = {
        name: finish(make_run(f"sweep/trials/{name}", seed=seed))
        for seed, name in enumerate(("a", "b", "teacher"))
    }
    make_run("sweep/trials/pending", seed=9)
    for name in (*runs, "pending", "planned"):
        role = "teacher" if name == "teacher" else "student"
        planned = PlannedTrial(trial_id=name, group_id="g", name=name, role=role, seed=0)
        runs[name] = planned
    plan = PlanRecord(sweep="s", sweep_hash="0", created_utc="", trials=tuple(runs.values()))
    write_json(tmp_path / "sweep" / "plan.json", plan.model_dump(mode="json"))
    (tmp_path / "other").symlink_to(tmp_path / "sweep" / "trials" / "b")
    found = open_runs([tmp_path / "sweep", tmp_path / "other"])
    assert [run.run.path.name for run in found] == ["a", "b"]


def test_runs_of_equal_names_are_told_apart(make_run: RunFactory) -> None:
    one = finish(make_run("run"))
    again = finish(make_run("x", seed=1))
    trial = again.read_trial().model_copy(update={"name": "run"})
    write_json(again.trial_file, trial.model_dump(mode="json"))
    ids = [run.read_trial().trial_id for run in (one, again)]
    assert analysed(one, again).decision_makers[1:] == tuple(f"run ({id_})" for id_ in ids)


def test_runs_that_cannot_be_looked_at(make_run: RunFactory, tmp_path: Path) -> None:
    pending = make_run("pending")
    pending.write_status(StatusRecord(state="failed", reason="out of luck"))
    run = finish(make_run("run", train={"ema_decay": None}))
    with pytest.raises(UserError, match=r"has no EMA weights; train with train.ema_decay set"):
        analysed(run, weights="ema")
    run.weights_file.unlink()
    for path, reason in (
        (pending.path, "is failed (out of luck), not completed; finish its training first"),
        (run.path, "has lost its weights"),
        (tmp_path / "nowhere", "there is no run directory"),
        (tmp_path, "is no run directory: it has no trial.json"),
    ):
        with pytest.raises(UserError) as error:
            analyse(open_runs([path]))
        assert reason in str(error.value)
        assert "\n" not in str(error.value)
    write_json(tmp_path / "plan.json", {"sweep": "s", "sweep_hash": "0", "created_utc": ""})
    with pytest.raises(UserError, match=r"none of the 0 students of .* is completed"):
        open_runs([tmp_path])


def test_without_its_teacher_a_run_is_compared_with_the_rest(make_run: RunFactory) -> None:
    run = finish(make_run("run", distill={"kind": "soft"}, teacher={"trial": "gone"}))
    (record,) = analysed(run).records
    assert record.teacher is None
    assert record.teacher_missing is not None
    assert "the teacher trial gone is not in" in record.teacher_missing
    assert record.decision_makers == ("ground truth", "run/cls", "run/dist", "run/fused")


# teachers ---------------------------------------------------------------------------------------


def test_a_teacher_is_asked_once_and_two_are_told_apart(
    make_run: RunFactory, tmp_path: Path
) -> None:
    name = "deit_tiny_distilled_patch16_224"
    kwargs = {"patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 2}
    sections = []
    for number in (1, 2):
        file = tmp_path / f"{number}.safetensors"
        torch.manual_seed(number)
        save_weights(create_model(name, num_classes=10, img_size=8, in_chans=1, **kwargs), file)
        teacher = {"name": name, "checkpoint": str(file), "kwargs": kwargs}
        sections.append({"distill": {"kind": "hard"}, "teacher": teacher})
    one = finish(make_run("one", **sections[0]))
    also = finish(make_run("also", seed=1, **sections[0]))
    other = finish(make_run("other", **sections[1]))
    same = analysed(one, also)
    assert same.decision_makers[:3] == ("ground truth", "teacher", "one/cls")
    assert same.records[0].teacher == same.records[1].teacher
    two = analysed(one, also, other).decision_makers
    teachers = [maker for maker in two if maker.startswith(f"teacher ({name}), ")]
    assert len(set(teachers)) == 2


# the command ------------------------------------------------------------------------------------


def test_the_command_prints_and_writes(
    make_run: RunFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    run = finish(make_run("run", **HARD), ema=True)
    assert main([str(run.path), "--device", "cpu", "--threads", "1"]) == 0
    said = capsys.readouterr()
    assert "Accuracy by head: last weights, 50 images of val" in said.out
    assert "run (fused)" in said.out
    assert "run: the teacher cannot be loaded" in said.out
    assert said.err == f"written: {run.path / 'analysis.json'}\n"
    record = run.read_analysis()
    assert record is not None
    assert record.weights == "last"
    assert run.read_analysis("ema") is None
    assert main([str(run.path), "--ema", "--json", "--device", "cpu", "--threads", "1"]) == 0
    values = json.loads(capsys.readouterr().out)
    ema = run.read_analysis("ema")
    assert AnalysisRecord.from_json(values["runs"][0], "stdout") == ema
    assert ema != record
    assert values["decision_makers"] == ["ground truth", "run/cls", "run/dist", "run/fused"]
    assert [len(row) for row in values["disagreement"]] == [4] * 4


def test_mistakes_are_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main([str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path} is no run directory")
    assert error.count("\n") == 1
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--images", "none"])
    assert "'none' is given; give a whole number of at least 1" in capsys.readouterr().err


# what is printed --------------------------------------------------------------------------------


def printed(*runs: RunDir, width: int = 100, everything: bool = False) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    found = open_runs([run.path for run in runs])
    show(analyse(found, Options(device="cpu")), found, console, everything=everything)
    return console.export_text()


def variant(
    make_run: RunFactory, swept: dict[str, Any], *, seed: int = 0, **sections: Any
) -> RunDir:
    """A run of a sweep as the launcher makes it; its group is its swept values."""
    values = ",".join(f"{key}={value}" for key, value in swept.items())
    name = f"{values},seed={seed}" if values else f"seed={seed}"
    run = finish(make_run(name.replace("/", "_"), seed=seed, **HARD | sections))
    trial = run.read_trial().model_copy(
        update={"name": name, "seed": seed, "swept": swept, "group_id": f"group {values}"}
    )
    write_json(run.trial_file, trial.model_dump(mode="json"))
    return run


def cells(text: str, label: str) -> list[str]:
    """The cells of the first line that begins with the label."""
    line = next(line for line in text.splitlines() if line.startswith(f"{label}  "))
    return line.removeprefix(label).split()


def test_seeds_of_a_variant_are_one_row_of_means(make_run: RunFactory) -> None:
    runs = [
        variant(make_run, {"distill.alpha": alpha, "distill.kind": "hard"}, seed=seed)
        for alpha in (0.1, 0.5)
        for seed in range(2)
    ]
    analysis, text = analysed(*runs), printed(*runs)
    means = [
        sum(record.heads[head].top1 for record in analysis.records[:2]) / 2
        for head in ("fused", "cls", "dist")
    ]
    assert cells(text, "alpha=0.1")[:4] == ["2", *(f"{mean:.2f}" for mean in means)]
    assert "kind=hard" not in text  # what all share
    assert "seed=" not in text
    assert sum(line.startswith("alpha=0.5  ") for line in text.splitlines()) == 2
    alone = printed(*runs, everything=True)
    fused = analysis.records[1].heads["fused"]
    assert cells(alone, "alpha=0.1, seed=1")[:2] == ["1", f"{fused.top1:.2f}"]


def test_pairs_of_variants_are_means_over_pairs_of_runs(make_run: RunFactory) -> None:
    runs = [
        variant(make_run, {"distill.alpha": alpha}, seed=seed)
        for alpha in (0.1, 0.5)
        for seed in range(2)
    ]
    analysis = analysed(*runs)
    names = [run.read_trial().name for run in runs]
    lines = printed(*runs, width=120).splitlines()
    matrix = {line.split("  ")[1]: line.split()[3:] for line in lines if line[:2].strip().isdigit()}

    def expected(*pairs: tuple[str, str]) -> str:
        return f"{sum(rate(analysis, *pair) for pair in pairs) / len(pairs):.3f}"

    # 1 ground truth, 2 to 4 the heads of alpha=0.1, 5 to 7 those of alpha=0.5
    row = matrix["alpha=0.1 (cls)"]
    cls = [f"{name}/cls" for name in names]
    assert row[1] == expected((cls[0], cls[1]))  # between seeds
    assert row[2] == expected(*((f"{n}/cls", f"{n}/dist") for n in names[:2]))  # within a run
    assert row[4] == expected(*((a, b) for a in cls[:2] for b in cls[2:]))


def test_a_large_sweep_fits_a_screen(make_run: RunFactory) -> None:
    swept = [
        {"distill.kind": "hard", "distill.alpha": number / 40, "model.name": "deit_tiny_patch16"}
        | {"optim.weight_decay": 0.05 + number, "augment.rand_augment": f"policy-{number}-inc1"}
        for number in range(11)
    ]
    runs = [variant(make_run, values, seed=seed) for values in swept for seed in range(3)]
    text = printed(*runs)
    lines = text.splitlines()
    assert len(lines) < 100
    assert max(len(line) for line in lines if "the teacher cannot be loaded" not in line) <= 100
    for values in swept:  # no part of a label is broken
        for part in (f"alpha={values['distill.alpha']}", values["augment.rand_augment"]):
            assert re.search(rf"(?<![\w.]){re.escape(str(part))}(?![\w.])", text), part
    assert "All pairs of 34 decision makers: --all, or analysis.json." in text
    analysis = analysed(*runs)
    truth = [1 - record.heads["fused"].top1 / 100 for record in analysis.records[:3]]
    table = lines[next(i for i, line in enumerate(lines) if line.startswith("Disagreement")) :]
    first = next(line for line in table if re.match(r"alpha=0\.0", line))
    assert f"{sum(truth) / 3:.3f}" in first
    everything = printed(*runs, everything=True)
    assert "Disagreement, more columns" in everything
    assert everything.count("seed=2") > len(swept)
    assert "All pairs" not in everything


def test_variants_without_swept_values_have_names_of_their_own(make_run: RunFactory) -> None:
    base = variant(make_run, {"distill.alpha": None})
    trial = base.read_trial().model_copy(update={"name": "seed=0"})
    write_json(base.trial_file, trial.model_dump(mode="json"))
    other = variant(make_run, {"distill.alpha": 0.3})
    assert cells(printed(base, other), "base")
    assert cells(printed(base), "deit_tiny_distilled_patch16_224")
    one, two = finish(make_run("one", **HARD)), finish(make_run("two", seed=1, **HARD))
    renamed = two.read_trial().model_copy(update={"name": "one", "group_id": "feedbeef"})
    write_json(two.trial_file, renamed.model_dump(mode="json"))
    assert cells(printed(one, two), "one (feedbe)")


def test_a_deep_model_shows_some_blocks_and_all_on_request(make_run: RunFactory) -> None:
    run = finish(make_run("run", model={"depth": 14}, **HARD))
    short, full = (
        next(line.split() for line in text.splitlines() if "learned" in line)
        for text in (printed(run), printed(run, width=200, everything=True))
    )
    assert short == ["learned", "input", "2", "5", "8", "11", "14", "norm"]
    assert full == ["learned", "input", *(str(n + 1) for n in range(14)), "norm"]
    cut = printed(run, width=60, everything=True)
    assert "Cosine similarity, more blocks" in cut
    tokens = cut[cut.index("Cosine") : cut.index("run: the teacher")]
    assert max(map(len, tokens.splitlines())) <= 60


def test_a_reason_is_given_once(make_run: RunFactory) -> None:
    runs = [variant(make_run, {"distill.alpha": n / 10}) for n in range(5)]
    text = printed(*runs)
    assert text.count("the teacher cannot be loaded") == 1
    assert "\nall runs: the teacher cannot be loaded" in text
    plain = variant(make_run, {"distill.alpha": 0.9}, distill={"kind": "none"}, teacher=None)
    text = printed(*runs, plain)
    assert "alpha=0.0; alpha=0.1; alpha=0.2; and 2 more: the teacher cannot be loaded" in text
    assert "\nalpha=0.9: trained without a teacher" in text


def test_a_wide_matrix_is_cut_not_squeezed(make_run: RunFactory) -> None:
    runs = [finish(make_run(f"run{seed}", seed=seed, **HARD)) for seed in range(3)]
    analysis, text = analysed(*runs), printed(*runs, width=45, everything=True)
    assert text.count("Disagreement, more columns") > 2
    rows = [line for line in text.splitlines() if " ground truth " in line]
    assert [rate for row in rows for rate in row.split()[3:]] == [
        f"{rate:.3f}" for rate in analysis.disagreement[0]
    ]
