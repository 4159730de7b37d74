"""Promise 1 inside the model: masks depend on their key and on nothing else."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from deit_core.models import create_model, head_logits, set_step_key
from deit_core.models.noise import Dropout, DropPath, KeySlot, StepKey

TINY = {"img_size": 8, "patch_size": 4, "in_chans": 1, "embed_dim": 16, "num_heads": 2}
LAYERS = [Dropout, DropPath]
Layer = type[Dropout] | type[DropPath]


def key_of(seed: int, step: int, rows: list[int] | None = None, batch: int = 64) -> StepKey:
    chosen = np.arange(batch) if rows is None else np.array(rows)
    return StepKey(seed, step, chosen, batch)


def mask(layer: Layer, key: StepKey | None, *, site: int = 1) -> Tensor:
    """What a layer of rate 0.5 does to ones of shape (B, 3, 4); the model has two such layers."""
    slot = KeySlot()
    layers = {number: layer(0.5, slot, number).train() for number in (1, 2)}
    if key is not None:
        slot.set(key, torch.device("cpu"))
    return layers[site](torch.ones(64 if key is None else len(key.rows), 3, 4))


@pytest.mark.parametrize("layer", LAYERS)
def test_the_same_key_gives_the_same_mask_whatever_was_drawn_before(
    layer: Layer,
) -> None:
    first = mask(layer, key_of(1, 5))
    torch.rand(7)
    assert torch.equal(mask(layer, key_of(1, 5)), first)


@pytest.mark.parametrize("layer", LAYERS)
def test_keyed_masks_leave_the_global_generator_alone(layer: Layer) -> None:
    before = torch.get_rng_state()
    mask(layer, key_of(1, 5))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("layer", LAYERS)
def test_seed_step_and_layer_each_change_the_mask(layer: Layer) -> None:
    base = mask(layer, key_of(1, 5))
    assert not torch.equal(mask(layer, key_of(2, 5)), base)
    assert not torch.equal(mask(layer, key_of(1, 6)), base)
    assert not torch.equal(mask(layer, key_of(1, 5), site=2), base)


def test_dropout_and_drop_path_do_not_share_numbers() -> None:
    slot, samples = KeySlot(), torch.ones(64, 1, 1)  # one number each: masks of one shape
    layers = [layer(0.5, slot, 1).train() for layer in LAYERS]
    slot.set(key_of(1, 5), torch.device("cpu"))
    one, other = (layer(samples) for layer in layers)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("layer", LAYERS)
def test_any_rows_have_the_global_batchs_masks(layer: Layer) -> None:
    whole = mask(layer, key_of(1, 5, batch=12))
    for rows in ([0, 1, 10, 11], [5, 6], [3]):
        assert torch.equal(mask(layer, key_of(1, 5, rows, batch=12)), whole[rows])


def test_a_key_for_another_batch_is_refused() -> None:
    slot = KeySlot()
    layer = Dropout(0.5, slot, 0).train()
    slot.set(key_of(1, 5, batch=12), torch.device("cpu"))
    with pytest.raises(ValueError, match="8 samples, but the step key is for 12"):
        layer(torch.ones(8, 2))


def test_without_a_key_masks_come_from_the_global_generator() -> None:
    torch.manual_seed(3)
    first = mask(Dropout, None)
    torch.manual_seed(3)
    assert torch.equal(mask(Dropout, None), first)
    assert not torch.equal(mask(Dropout, None), first)


def test_drop_path_drops_whole_samples_and_keeps_the_mean() -> None:
    kept = mask(DropPath, key_of(0, 0, batch=4000))
    per_sample = kept.flatten(1)
    assert torch.equal(per_sample, per_sample[:, :1].expand_as(per_sample))
    assert set(per_sample.unique().tolist()) == {0.0, 2.0}
    assert float(kept.mean()) == pytest.approx(1.0, abs=0.05)


def test_dropout_drops_single_numbers_and_keeps_the_mean() -> None:
    kept = mask(Dropout, key_of(0, 0, batch=2000))
    assert set(kept.unique().tolist()) == {0.0, 2.0}
    assert float(kept.mean()) == pytest.approx(1.0, abs=0.05)
    assert 0 < float(kept[0].mean()) < 2


def test_at_rate_one_nothing_is_left() -> None:
    layer = DropPath(1.0, KeySlot(), 0).train()
    assert layer(torch.ones(3, 2, 2)).tolist() == torch.zeros(3, 2, 2).tolist()


@pytest.mark.parametrize("layer", LAYERS)
def test_at_rate_zero_and_in_eval_the_input_is_returned_untouched(layer: Layer) -> None:
    x = torch.ones(2, 3)
    assert layer(0.0, KeySlot(), 0).train()(x) is x
    assert layer(0.5, KeySlot(), 0).eval()(x) is x


def test_layers_of_a_model_have_masks_of_their_own() -> None:
    model = create_model("deit_tiny_patch16_224", depth=3, **TINY)
    for kind in LAYERS:
        sites = [module.site for module in model.modules() if isinstance(module, kind)]
        assert len(sites) == len(set(sites)) == (10 if kind is Dropout else 6)


def noisy_model() -> torch.nn.Module:
    torch.manual_seed(0)
    name = "deit_tiny_distilled_patch16_224"
    return create_model(name, depth=3, drop_rate=0.2, drop_path_rate=0.5, **TINY).train()


def key_model(model: torch.nn.Module, step: int) -> None:
    set_step_key(model, 0, step, np.arange(8), 8)


def test_a_models_training_output_is_a_function_of_the_key() -> None:
    model, images = noisy_model(), torch.rand(8, 1, 8, 8)
    outputs = []
    for step in (4, 5, 4):
        key_model(model, step)
        outputs.append(head_logits(model, images).cls_logits)
        torch.rand(3)
    assert torch.equal(outputs[0], outputs[2])
    assert not torch.equal(outputs[0], outputs[1])


def test_two_ranks_compute_what_one_process_computes() -> None:
    model, images = noisy_model(), torch.rand(8, 1, 8, 8)
    key_model(model, 4)
    whole = head_logits(model, images).cls_logits
    parts = []
    shards = ([0, 1, 6, 7], [2, 3, 4, 5])
    for rows in shards:
        set_step_key(model, 0, 4, np.array(rows), 8)
        parts.append(head_logits(model, images[rows]).cls_logits)
    torch.testing.assert_close(torch.cat(parts), whole[[*shards[0], *shards[1]]])


def test_a_copy_has_a_key_of_its_own() -> None:
    model, images = noisy_model(), torch.rand(8, 1, 8, 8)
    twin = copy.deepcopy(model)
    key_model(model, 4)
    key_model(twin, 5)
    one, other = (head_logits(m, images).cls_logits for m in (model, twin))
    assert not torch.equal(one, other)
    key_model(twin, 4)
    assert torch.equal(head_logits(twin, images).cls_logits, one)


def test_a_foreign_models_dropout_follows_the_key() -> None:
    model = torch.nn.Sequential(torch.nn.Dropout(0.5)).train()
    key_model(model, 4)
    first = model(torch.ones(64))
    key_model(model, 5)
    assert not torch.equal(model(torch.ones(64)), first)
    key_model(model, 4)
    assert torch.equal(model(torch.ones(64)), first)
