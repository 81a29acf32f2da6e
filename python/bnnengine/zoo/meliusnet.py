"""MeliusNet-22 (arXiv:2001.05936), as Larq Zoo has it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy.typing as npt

from bnnengine.graph import Graph, Value
from bnnengine.layers import Add, BinaryConv2d, Concat, Conv2d, Dense, GlobalAveragePool, MaxPool2d, ReLU, Sign, Slice
from bnnengine.model import Model
from bnnengine.zoo.padding import same
from bnnengine.zoo.weights import Weights

GROWTH = 64  # channels that each block adds, and then improves


def meliusnet22(
    weights: Mapping[str, npt.ArrayLike] | None = None,
    *,
    seed: int = 0,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
) -> Model:
    """MeliusNet-22: 6,944,584 parameters.

    Args:
        weights: by name, or None for random ones: `stem.conv1.weight` (32, 3, 3, 3), `stem.conv2.weight` (32, 8, 3,
            3), `stem.conv3.weight` (64, 4, 3, 3), of 1, 4 and 8 groups, each with `stem.bn1` and so on; for sections s
            and blocks b from 0 `sections.s.b.dense.bn`, `sections.s.b.dense.conv.weight` (its sign counts) and the
            same of `improve`; behind each section but the last `transitions.s.bn` and `transitions.s.conv.weight`;
            `bn`, `fc.weight`, `fc.bias`. A bn is four vectors: .weight, .bias, .running_mean, .running_var.
        seed: of random weights.
        input_shape: (height, width, 3).
        classes: how many logits.

    Returns:
        float32 image, (height, width, 3), to float32 logits, (classes,).

    Raises:
        ModelError: a weight is missing, too many, or of another shape; the image is too small.
    """
    g, w = Graph("meliusnet22"), Weights(weights, seed)
    x = _stem(g, w, g.input(input_shape, name="image"))
    for section, (blocks, channels) in enumerate(((4, 160), (5, 224), (4, 256), (4, None))):
        for block in range(blocks):
            prefix = f"sections.{section}.{block}"
            x = g(Concat(), x, _binary(g, w, x, f"{prefix}.dense"), name=f"{prefix}.dense.concat")
            x = _improve(g, w, x, f"{prefix}.improve")
        if channels:
            x = _transition(g, w, x, channels, f"transitions.{section}")
    x = g(ReLU(), g(w.batch_norm("bn", x.shape[2]), x, name="bn"), name="relu")
    x = g(GlobalAveragePool(), x, name="pool")
    dense = Dense(w.dense("fc.weight", (classes, x.shape[0])), bias=w.vector("fc.bias", classes))
    logits = g(dense, x, name="fc")
    w.finish()
    return g.model(logits)


def _stem(g: Graph, w: Weights, x: Value) -> Value:
    """Three 3x3 convolutions of more and more groups, in place of one of 7x7."""
    for number, channels, groups, stride in ((1, 32, 1, 2), (2, 32, 4, 1), (3, 64, 8, 1)):
        kernel = w.conv(f"stem.conv{number}.weight", (channels, x.shape[2] // groups, 3, 3))
        layer = Conv2d(kernel, strides=stride, padding=same(x.shape, 3, stride), groups=groups)
        x = g(layer, x, name=f"stem.conv{number}")
        x = g(w.batch_norm(f"stem.bn{number}", channels), x, name=f"stem.bn{number}")
        x = g(ReLU(), x, name=f"stem.relu{number}")
    return g(MaxPool2d(2, 2, same(x.shape, 2, 2)), x, name="stem.pool")


def _binary(g: Graph, w: Weights, x: Value, prefix: str) -> Value:
    """Batch norm, sign, binary 3x3."""
    channels = x.shape[2]
    y = g(Sign(), g(w.batch_norm(f"{prefix}.bn", channels), x, name=f"{prefix}.bn"), name=f"{prefix}.sign")
    kernel = w.conv(f"{prefix}.conv.weight", (GROWTH, channels, 3, 3))
    return g(BinaryConv2d.from_real(kernel, padding=1), y, name=f"{prefix}.conv")


def _improve(g: Graph, w: Weights, x: Value, prefix: str) -> Value:
    """The newest channels with a residual; the others as they are."""
    channels = x.shape[2]
    y = _binary(g, w, x, prefix)
    old = g(Slice(0, channels - GROWTH), x, name=f"{prefix}.old")
    new = g(Slice(channels - GROWTH, channels), x, name=f"{prefix}.new")
    return g(Concat(), old, g(Add(), new, y, name=f"{prefix}.add"), name=f"{prefix}.concat")


def _transition(g: Graph, w: Weights, x: Value, channels: int, prefix: str) -> Value:
    """Half the size, and 1x1 to fewer channels."""
    x = g(w.batch_norm(f"{prefix}.bn", x.shape[2]), x, name=f"{prefix}.bn")
    x = g(ReLU(), g(MaxPool2d(2, 2, same(x.shape, 2, 2)), x, name=f"{prefix}.pool"), name=f"{prefix}.relu")
    return g(Conv2d(w.conv(f"{prefix}.conv.weight", (channels, x.shape[2], 1, 1))), x, name=f"{prefix}.conv")
