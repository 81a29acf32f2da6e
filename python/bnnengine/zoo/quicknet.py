"""QuickNet (Larq Compute Engine, arXiv:2011.09398), as version 1.0 of Larq Zoo has it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy.typing as npt

from bnnengine.graph import Graph, Value
from bnnengine.layers import Add, BinaryConv2d, BlurPool2d, Conv2d, Dense, GlobalAveragePool, MaxPool2d, ReLU, Sign
from bnnengine.model import Model
from bnnengine.zoo.padding import same
from bnnengine.zoo.weights import Weights


def quicknet_small(
    weights: Mapping[str, npt.ArrayLike] | None = None,
    *,
    seed: int = 0,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
) -> Model:
    """QuickNet Small: 12,655,688 parameters. Everything as for quicknet."""
    return _quicknet("quicknet_small", (4, 4, 4, 4), (32, 64, 256, 512), weights, seed, input_shape, classes)


def quicknet(
    weights: Mapping[str, npt.ArrayLike] | None = None,
    *,
    seed: int = 0,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
) -> Model:
    """QuickNet (medium): 13,234,088 parameters.

    Args:
        weights: by name, or None for random ones: `stem.conv1.weight`, `stem.bn1`, `stem.depthwise.weight` (channels,
            1, 3, 3), `stem.bn2` (no weight, no bias), `stem.conv2.weight`, `stem.bn3`; for sections s and blocks b
            from 0 `sections.s.blocks.b.conv.weight` (its sign counts) and `sections.s.blocks.b.bn`; for sections from
            1 `sections.s.transition.conv.weight` and `sections.s.transition.bn`; `fc.weight`, `fc.bias`. A bn is four
            vectors: .weight, .bias, .running_mean, .running_var.
        seed: of random weights.
        input_shape: (height, width, 3).
        classes: how many logits.

    Returns:
        float32 image, (height, width, 3), to float32 logits, (classes,).

    Raises:
        ModelError: a weight is missing, too many, or of another shape; the image is too small.
    """
    return _quicknet("quicknet", (4, 4, 4, 4), (64, 128, 256, 512), weights, seed, input_shape, classes)


def quicknet_large(
    weights: Mapping[str, npt.ArrayLike] | None = None,
    *,
    seed: int = 0,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
) -> Model:
    """QuickNet Large: 23,342,248 parameters. Everything as for quicknet."""
    return _quicknet("quicknet_large", (6, 8, 12, 6), (64, 128, 256, 512), weights, seed, input_shape, classes)


def _quicknet(
    name: str,
    blocks: tuple[int, ...],
    filters: tuple[int, ...],
    weights: Mapping[str, npt.ArrayLike] | None,
    seed: int,
    input_shape: tuple[int, int, int],
    classes: int,
) -> Model:
    g, w = Graph(name), Weights(weights, seed)
    x = _stem(g, w, g.input(input_shape, name="image"), filters[0])
    for section, (count, channels) in enumerate(zip(blocks, filters, strict=True)):
        prefix = f"sections.{section}"
        if section:
            x = _transition(g, w, x, channels, f"{prefix}.transition")
        for block in range(count):
            x = _block(g, w, x, f"{prefix}.blocks.{block}")
    x = g(GlobalAveragePool(), g(ReLU(), x, name="relu"), name="pool")
    dense = Dense(w.dense("fc.weight", (classes, filters[-1])), bias=w.vector("fc.bias", classes))
    logits = g(dense, x, name="fc")
    w.finish()
    return g.model(logits)


def _stem(g: Graph, w: Weights, x: Value, filters: int) -> Value:
    """3x3 and depthwise 3x3, each by steps of 2, then 1x1."""
    few = filters // 4
    kernel = w.conv("stem.conv1.weight", (few, x.shape[2], 3, 3))
    x = g(Conv2d(kernel, strides=2, padding=same(x.shape, 3, 2)), x, name="stem.conv1")
    x = g(ReLU(), g(w.batch_norm("stem.bn1", few, 1e-3), x, name="stem.bn1"), name="stem.relu")
    kernel = w.conv("stem.depthwise.weight", (few, 1, 3, 3))
    x = g(Conv2d(kernel, strides=2, padding=same(x.shape, 3, 2), groups=few), x, name="stem.depthwise")
    x = g(w.batch_norm("stem.bn2", few, 1e-3, center=False, scale=False), x, name="stem.bn2")
    x = g(Conv2d(w.conv("stem.conv2.weight", (filters, few, 1, 1))), x, name="stem.conv2")
    return g(w.batch_norm("stem.bn3", filters, 1e-3), x, name="stem.bn3")


def _transition(g: Graph, w: Weights, x: Value, channels: int, prefix: str) -> Value:
    """Half the size by maximum and blur, then 1x1 to more channels."""
    x = g(ReLU(), x, name=f"{prefix}.relu")
    x = g(MaxPool2d(2, strides=1), x, name=f"{prefix}.pool")
    x = g(BlurPool2d((1, 2, 1), 2, same(x.shape, 3, 2)), x, name=f"{prefix}.blur")
    x = g(Conv2d(w.conv(f"{prefix}.conv.weight", (channels, x.shape[2], 1, 1))), x, name=f"{prefix}.conv")
    return g(w.batch_norm(f"{prefix}.bn", channels), x, name=f"{prefix}.bn")


def _block(g: Graph, w: Weights, x: Value, prefix: str) -> Value:
    """Sign, binary 3x3 padded with +1, ReLU, batch norm, and the input added."""
    channels = x.shape[2]
    kernel = w.conv(f"{prefix}.conv.weight", (channels, channels, 3, 3))
    y = g(Sign(), x, name=f"{prefix}.sign")
    y = g(BinaryConv2d.from_real(kernel, padding=1, pad_value=1), y, name=f"{prefix}.conv")
    y = g(ReLU(), y, name=f"{prefix}.relu")
    y = g(w.batch_norm(f"{prefix}.bn", channels), y, name=f"{prefix}.bn")
    return g(Add(), y, x, name=f"{prefix}.add")
