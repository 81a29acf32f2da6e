"""BinaryResNetE-18 (Back to Simplicity, arXiv:1906.08637), as Larq Zoo has it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy.typing as npt

from bnnengine.graph import Graph, Value
from bnnengine.layers import Add, AveragePool2d, BinaryConv2d, Conv2d, Dense, GlobalAveragePool, MaxPool2d, ReLU, Sign
from bnnengine.model import Model
from bnnengine.zoo.padding import same
from bnnengine.zoo.weights import Weights


def binaryresnete18(
    weights: Mapping[str, npt.ArrayLike] | None = None,
    *,
    seed: int = 0,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
) -> Model:
    """BinaryResNetE-18: 11,699,368 parameters, statistics of batch norms included.

    Args:
        weights: by name, or None for random ones: `conv1.weight`, `bn1`, `bn2`; for layers l from 1 to 4 and blocks b
            from 0 to 3 `layerl.b.conv.weight` (its sign counts) and `layerl.b.bn`; for layers from 2
            `layerl.0.shortcut.conv.weight` and `layerl.0.shortcut.bn`; `fc.weight`, `fc.bias`. A bn is four vectors:
            .weight, .bias, .running_mean, .running_var.
        seed: of random weights.
        input_shape: (height, width, 3).
        classes: how many logits.

    Returns:
        float32 image, (height, width, 3), to float32 logits, (classes,).

    Raises:
        ModelError: a weight is missing, too many, or of another shape; the image is too small.
    """
    g, w = Graph("binaryresnete18"), Weights(weights, seed)
    x = g.input(input_shape, name="image")
    kernel = w.conv("conv1.weight", (64, x.shape[2], 7, 7))
    x = g(Conv2d(kernel, strides=2, padding=same(x.shape, 7, 2)), x, name="conv1")
    x = g(ReLU(), g(w.batch_norm("bn1", 64), x, name="bn1"), name="relu1")
    x = g(MaxPool2d(3, 2, same(x.shape, 3, 2)), x, name="pool1")
    x = g(w.batch_norm("bn2", 64), x, name="bn2")
    for layer in range(1, 5):
        for block in range(4):
            stride = 2 if layer > 1 and block == 0 else 1
            x = _block(g, w, x, 32 << layer, stride, f"layer{layer}.{block}")
    x = g(GlobalAveragePool(), g(ReLU(), x, name="relu2"), name="pool2")
    dense = Dense(w.dense("fc.weight", (classes, x.shape[0])), bias=w.vector("fc.bias", classes))
    logits = g(dense, x, name="fc")
    w.finish()
    return g.model(logits)


def _block(g: Graph, w: Weights, x: Value, channels: int, stride: int, prefix: str) -> Value:
    """Sign, binary 3x3, batch norm; and the input, brought to size, added."""
    y = g(Sign(), x, name=f"{prefix}.sign")
    kernel = w.conv(f"{prefix}.conv.weight", (channels, x.shape[2], 3, 3))
    y = g(BinaryConv2d.from_real(kernel, strides=stride, padding=same(x.shape, 3, stride)), y, name=f"{prefix}.conv")
    y = g(w.batch_norm(f"{prefix}.bn", channels), y, name=f"{prefix}.bn")
    if channels != x.shape[2]:
        side = f"{prefix}.shortcut"
        x = g(AveragePool2d(2), x, name=f"{side}.pool")
        x = g(Conv2d(w.conv(f"{side}.conv.weight", (channels, x.shape[2], 1, 1))), x, name=f"{side}.conv")
        x = g(w.batch_norm(f"{side}.bn", channels), x, name=f"{side}.bn")
    return g(Add(), y, x, name=f"{prefix}.add")
