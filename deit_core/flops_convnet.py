"""Arithmetic and parameters of timm's convnets, by formula or from a table. Torch-free.

ResNets (arXiv 1512.03385; the tiered ones of timm with the stem and the pooled shortcuts of arXiv
1812.01187) by formula, as their maps do not shrink with the square of a very small image. Others
scale with the area of the image.
"""

from __future__ import annotations

from dataclasses import dataclass

from deit_core.model_cost import ModelCost

SAVED_PER_OUTPUT = 2.0
"""Numbers kept for each output of a convolution: what the norm reads, and what comes after its
activation, which the next convolution reads."""

_STAGE_WIDTHS = (64, 128, 256, 512)
_TABLE_SIDE = 224
_TABLE_CLASSES = 1000


@dataclass(frozen=True)
class _ResNet:
    blocks: tuple[int, ...]
    bottleneck: bool
    tiered: bool = False
    """Three convolutions instead of one as stem, and pooling before a shortcut's projection."""


_RESNETS = {
    "resnet10t": _ResNet((1, 1, 1, 1), bottleneck=False, tiered=True),
    "resnet14t": _ResNet((1, 1, 1, 1), bottleneck=True, tiered=True),
    "resnet18": _ResNet((2, 2, 2, 2), bottleneck=False),
    "resnet26": _ResNet((2, 2, 2, 2), bottleneck=True),
    "resnet34": _ResNet((3, 4, 6, 3), bottleneck=False),
    "resnet50": _ResNet((3, 4, 6, 3), bottleneck=True),
    "resnet101": _ResNet((3, 4, 23, 3), bottleneck=True),
    "resnet152": _ResNet((3, 8, 36, 3), bottleneck=True),
}

# Of timm 1.0 at 224 pixels, three channels and 1000 classes: 10^9 multiply-adds by
# torch.utils.flop_counter, parameters, 10^6 outputs of convolutions, width before the classifier.
# Multiply-adds and outputs agree with timm's results/model_metadata-in1k.csv, for the RegNets
# with arXiv 2003.13678, Table 4.
_TABLE: dict[str, tuple[float, int, float, int]] = {
    "regnety_008": (0.7972, 6_263_168, 5.250, 768),
    "regnety_016": (1.6121, 11_202_430, 8.045, 888),
    "regnety_032": (3.1765, 19_436_338, 11.263, 1512),
    "regnety_040": (3.9733, 20_646_656, 12.287, 1088),
    "regnety_080": (7.9631, 39_180_068, 17.969, 2016),
    "regnety_120": (12.0924, 51_822_544, 21.384, 2240),
    "regnety_160": (15.9115, 83_590_140, 23.041, 3024),
    "regnety_320": (32.2796, 145_046_770, 30.262, 3712),
    "convnext_tiny": (4.4555, 28_589_128, 13.436, 768),
    "convnext_small": (8.6837, 50_223_688, 21.564, 768),
    "convnext_base": (15.3547, 88_591_464, 28.752, 1024),
    "convnext_large": (34.3614, 197_767_336, 43.127, 1536),
    "efficientnet_b0": (0.3858, 5_288_548, 6.748, 1280),
    "efficientnet_b1": (0.5697, 7_794_184, 9.356, 1280),
    "efficientnet_b3": (0.9627, 12_233_232, 13.007, 1536),
    "mobilenetv3_small_100": (0.0565, 2_542_856, 1.418, 1024),
    "mobilenetv3_large_100": (0.2166, 5_483_032, 4.407, 1280),
}


def convnet_cost(name: str, img_size: int, in_chans: int, num_classes: int) -> ModelCost | None:
    """Cost of a convolutional network by its timm name without a tag; None where it is unknown."""
    if name in _RESNETS:
        return _resnet_cost(_RESNETS[name], img_size, in_chans, num_classes)
    if name not in _TABLE:
        return None
    giga_macs, parameters, mega_outputs, features = _TABLE[name]
    area = (img_size / _TABLE_SIDE) ** 2
    return ModelCost(
        macs=1e9 * giga_macs * area,
        parameters=parameters + (num_classes - _TABLE_CLASSES) * (features + 1),
        activations=1e6 * mega_outputs * area * SAVED_PER_OUTPUT,
    )


class _Tally:
    """Adds up convolutions, each with the norm that follows it."""

    def __init__(self) -> None:
        self.macs = self.parameters = self.outputs = 0

    def conv(self, channels: int, filters: int, kernel: int, side: int) -> None:
        weights = channels * filters * kernel**2
        self.macs += weights * side**2
        self.parameters += weights + 2 * filters
        self.outputs += filters * side**2


def _halved(side: int) -> int:
    """Side after a padded stride of 2."""
    return (side + 1) // 2


def _resnet_cost(net: _ResNet, img_size: int, in_chans: int, num_classes: int) -> ModelCost:
    tally = _Tally()
    side = _halved(img_size)
    stem = [(24, 3), (32, 3), (64, 3)] if net.tiered else [(64, 7)]
    channels = in_chans
    for filters, kernel in stem:
        tally.conv(channels, filters, kernel, side)
        channels = filters
    side = _halved(side)
    for stage, (width, blocks) in enumerate(zip(_STAGE_WIDTHS, net.blocks, strict=True)):
        for block in range(blocks):
            before = side
            side = _halved(side) if stage and not block else side
            channels = _block(tally, net, channels, width, (before, side))
    tally.parameters += (channels + 1) * num_classes
    tally.macs += channels * num_classes
    return ModelCost(tally.macs, tally.parameters, tally.outputs * SAVED_PER_OUTPUT)


def _block(tally: _Tally, net: _ResNet, channels: int, width: int, sides: tuple[int, int]) -> int:
    """Add a block whose 3x3 convolution takes the stride; returns its output channels."""
    before, after = sides
    if net.bottleneck:
        filters = 4 * width
        tally.conv(channels, width, 1, before)
        tally.conv(width, width, 3, after)
        tally.conv(width, filters, 1, after)
    else:
        filters = width
        tally.conv(channels, width, 3, after)
        tally.conv(width, width, 3, after)
    if before != after or channels != filters:
        tally.conv(channels, filters, 1, after)
    return filters
