"""BinaryDenseNet (Back to Simplicity, arXiv:1906.08637), as Larq Zoo has it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy.typing as npt

from bnnengine.graph import Graph, Value
from bnnengine.layers import BinaryConv2d, Concat, Conv2d, Dense, GlobalAveragePool, MaxPool2d, ReLU, Sign
from bnnengine.model import Model
from bnnengine.zoo.padding import same
from bnnengine.zoo.weights import Weights

GROWTH = 64  # channels that each layer adds


def binarydensenet28(
    weights: Mapping[str, npt.ArrayLike] | None = None,
    *,
    seed: int = 0,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
) -> Model:
    """BinaryDenseNet-28: 5,150,504 parameters, statistics of batch norms included.

    Args:
        weights: by name, or None for random ones: `conv1.weight`, `bn1`; for blocks b and layers l from 0
            `blocks.b.l.bn` and `blocks.b.l.conv.weight` (its sign counts); behind each block but the last
            `transitions.b.bn` and `transitions.b.conv.weight`; `bn2`, `fc.weight`, `fc.bias`. A bn is four vectors:
            .weight, .bias, .running_mean, .running_var.
        seed: of random weights.
        input_shape: (height, width, 3).
        classes: how many logits.

    Returns:
        float32 image, (height, width, 3), to float32 logits, (classes,).

    Raises:
        ModelError: a weight is missing, too many, or of another shape; the image is too small.
    """
    return _densenet("binarydensenet28", (6, 6, 6, 5), (2.7, 2.7, 2.2), weights, seed, input_shape, classes)


def binarydensenet37(
    weights: Mapping[str, npt.ArrayLike] | None = None,
    *,
    seed: int = 0,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
) -> Model:
    """BinaryDenseNet-37: 8,734,120 parameters. Everything as for binarydensenet28."""
    return _densenet("binarydensenet37", (6, 8, 12, 6), (3.3, 3.3, 4), weights, seed, input_shape, classes)


def binarydensenet45(
    weights: Mapping[str, npt.ArrayLike] | None = None,
    *,
    seed: int = 0,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
) -> Model:
    """BinaryDenseNet-45: 13,939,240 parameters. Everything as for binarydensenet28."""
    return _densenet("binarydensenet45", (6, 12, 14, 8), (2.7, 3.3, 4), weights, seed, input_shape, classes)


def _densenet(
    name: str,
    blocks: tuple[int, ...],
    reductions: tuple[float, ...],
    weights: Mapping[str, npt.ArrayLike] | None,
    seed: int,
    input_shape: tuple[int, int, int],
    classes: int,
) -> Model:
    g, w = Graph(name), Weights(weights, seed)
    x = g.input(input_shape, name="image")
    kernel = w.conv("conv1.weight", (64, x.shape[2], 7, 7))
    x = g(Conv2d(kernel, strides=2, padding=same(x.shape, 7, 2)), x, name="conv1")
    x = g(ReLU(), g(w.batch_norm("bn1", 64), x, name="bn1"), name="relu1")
    x = g(MaxPool2d(3, 2, same(x.shape, 3, 2)), x, name="pool1")
    for block, layers in enumerate(blocks):
        for layer in range(layers):
            x = _layer(g, w, x, f"blocks.{block}.{layer}")
        if block < len(reductions):
            channels = round(x.shape[2] // reductions[block] / 32) * 32
            x = _transition(g, w, x, channels, f"transitions.{block}")
    x = g(ReLU(), g(w.batch_norm("bn2", x.shape[2]), x, name="bn2"), name="relu2")
    x = g(GlobalAveragePool(), x, name="pool2")
    dense = Dense(w.dense("fc.weight", (classes, x.shape[0])), bias=w.vector("fc.bias", classes))
    logits = g(dense, x, name="fc")
    w.finish()
    return g.model(logits)


def _layer(g: Graph, w: Weights, x: Value, prefix: str) -> Value:
    """Batch norm, sign, binary 3x3; its channels behind those of the input."""
    channels = x.shape[2]
    y = g(Sign(), g(w.batch_norm(f"{prefix}.bn", channels), x, name=f"{prefix}.bn"), name=f"{prefix}.sign")
    kernel = w.conv(f"{prefix}.conv.weight", (GROWTH, channels, 3, 3))
    y = g(BinaryConv2d.from_real(kernel, padding=1), y, name=f"{prefix}.conv")
    return g(Concat(), x, y, name=f"{prefix}.concat")


def _transition(g: Graph, w: Weights, x: Value, channels: int, prefix: str) -> Value:
    """Half the size, and 1x1 to fewer channels."""
    x = g(w.batch_norm(f"{prefix}.bn", x.shape[2]), x, name=f"{prefix}.bn")
    x = g(ReLU(), g(MaxPool2d(2), x, name=f"{prefix}.pool"), name=f"{prefix}.relu")
    return g(Conv2d(w.conv(f"{prefix}.conv.weight", (channels, x.shape[2], 1, 1))), x, name=f"{prefix}.conv")
