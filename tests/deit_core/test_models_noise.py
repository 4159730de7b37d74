"""Promise 1 inside the model: masks depend on their key and on nothing else."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from deit_core.models import create_model, head_logits, set_step_key
from deit_core.models.noise import Dropout, DropPath, KeyedNoise, KeySlot, StepKey

TINY = {"img_size": 8, "patch_size": 4, "in_chans": 1, "embed_dim": 16, "num_heads": 2}
LAYERS = [Dropout, DropPath]


def mask(layer: type[KeyedNoise], key: StepKey | None, *, batch: int = 64, site: int = 1) -> Tensor:
    """What a layer of rate 0.5 does to ones of shape (batch, 3, 4)."""
    slot = KeySlot()
    slot.key = key
    return layer(0.5, slot, site).train()(torch.ones(batch, 3, 4))


@pytest.mark.parametrize("layer", LAYERS)
def test_the_same_key_gives_the_same_mask_whatever_was_drawn_before(
    layer: type[KeyedNoise],
) -> None:
    first = mask(layer, StepKey(1, 5))
    torch.rand(7)
    assert torch.equal(mask(layer, StepKey(1, 5)), first)


@pytest.mark.parametrize("layer", LAYERS)
def test_keyed_masks_leave_the_global_generator_alone(layer: type[KeyedNoise]) -> None:
    before = torch.get_rng_state()
    mask(layer, StepKey(1, 5))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("layer", LAYERS)
def test_seed_step_and_layer_each_change_the_mask(layer: type[KeyedNoise]) -> None:
    base = mask(layer, StepKey(1, 5))
    assert not torch.equal(mask(layer, StepKey(2, 5)), base)
    assert not torch.equal(mask(layer, StepKey(1, 6)), base)
    assert not torch.equal(mask(layer, StepKey(1, 5), site=2), base)


def test_dropout_and_drop_path_do_not_share_numbers() -> None:
    slot, samples = KeySlot(), torch.ones(64, 1)  # one number each: masks of one shape
    slot.key = StepKey(1, 5)
    one, other = (layer(0.5, slot, 1).train()(samples) for layer in LAYERS)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("layer", LAYERS)
def test_the_ranks_slices_are_the_global_batchs_mask(layer: type[KeyedNoise]) -> None:
    whole = mask(layer, StepKey(1, 5, global_batch=12), batch=12)
    for world in (2, 3, 4):
        share = 12 // world
        parts = [
            mask(layer, StepKey(1, 5, rank * share, global_batch=12), batch=share)
            for rank in range(world)
        ]
        assert torch.equal(torch.cat(parts), whole)


def test_rows_beyond_the_global_batch_are_refused() -> None:
    with pytest.raises(ValueError, match="samples 8 to 16 of a global batch of 12"):
        mask(DropPath, StepKey(1, 5, 8, global_batch=12), batch=8)


def test_without_a_key_masks_come_from_the_global_generator() -> None:
    torch.manual_seed(3)
    first = mask(Dropout, None)
    torch.manual_seed(3)
    assert torch.equal(mask(Dropout, None), first)
    assert not torch.equal(mask(Dropout, None), first)


def test_drop_path_drops_whole_samples_and_keeps_the_mean() -> None:
    kept = mask(DropPath, StepKey(0, 0), batch=4000)
    per_sample = kept.flatten(1)
    assert torch.equal(per_sample, per_sample[:, :1].expand_as(per_sample))
    assert set(per_sample.unique().tolist()) == {0.0, 2.0}
    assert float(kept.mean()) == pytest.approx(1.0, abs=0.05)


def test_dropout_drops_single_numbers_and_keeps_the_mean() -> None:
    kept = mask(Dropout, StepKey(0, 0), batch=2000)
    assert set(kept.unique().tolist()) == {0.0, 2.0}
    assert float(kept.mean()) == pytest.approx(1.0, abs=0.05)
    assert 0 < float(kept[0].mean()) < 2


def test_at_rate_one_nothing_is_left() -> None:
    layer = DropPath(1.0, KeySlot(), 0).train()
    assert layer(torch.ones(3, 2, 2)).tolist() == torch.zeros(3, 2, 2).tolist()


@pytest.mark.parametrize("layer", LAYERS)
def test_at_rate_zero_and_in_eval_the_input_is_returned_untouched(layer: type[KeyedNoise]) -> None:
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


def test_a_models_training_output_is_a_function_of_the_key() -> None:
    model, images = noisy_model(), torch.rand(8, 1, 8, 8)
    outputs = []
    for step in (4, 5, 4):
        set_step_key(model, 0, step)
        outputs.append(head_logits(model, images).cls_logits)
        torch.rand(3)
    assert torch.equal(outputs[0], outputs[2])
    assert not torch.equal(outputs[0], outputs[1])


def test_two_ranks_compute_what_one_process_computes() -> None:
    model, images = noisy_model(), torch.rand(8, 1, 8, 8)
    set_step_key(model, 0, 4, 0, 8)
    whole = head_logits(model, images).cls_logits
    parts = []
    for first in (0, 4):
        set_step_key(model, 0, 4, first, 8)
        parts.append(head_logits(model, images[first : first + 4]).cls_logits)
    torch.testing.assert_close(torch.cat(parts), whole)


def test_a_copy_has_a_key_of_its_own() -> None:
    model, images = noisy_model(), torch.rand(8, 1, 8, 8)
    twin = copy.deepcopy(model)
    set_step_key(model, 0, 4)
    set_step_key(twin, 0, 5)
    one, other = (head_logits(m, images).cls_logits for m in (model, twin))
    assert not torch.equal(one, other)
    set_step_key(twin, 0, 4)
    assert torch.equal(head_logits(twin, images).cls_logits, one)


def test_a_foreign_models_dropout_follows_the_key() -> None:
    model = torch.nn.Sequential(torch.nn.Dropout(0.5)).train()
    set_step_key(model, 0, 4)
    first = model(torch.ones(64))
    set_step_key(model, 0, 5)
    assert not torch.equal(model(torch.ones(64)), first)
    set_step_key(model, 0, 4)
    assert torch.equal(model(torch.ones(64)), first)
