"""The Real-to-Binary network (Training binary neural networks with real-to-binary convolutions, arXiv:2003.11535).

As Larq Zoo has it: its binary variant, with scales that a squeeze-and-excite branch finds for each image.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy.typing as npt

from bnnengine.graph import Graph, Value
from bnnengine.layers import (
    Add,
    AveragePool2d,
    BinaryConv2d,
    Conv2d,
    Dense,
    GlobalAveragePool,
    MaxPool2d,
    Multiply,
    PReLU,
    ReLU,
    Sigmoid,
    Sign,
)
from bnnengine.model import Model
from bnnengine.zoo.padding import same
from bnnengine.zoo.weights import Weights

EPSILON = 1e-3  # Keras' own, in every batch norm
SQUEEZE = 8  # channels over those in the middle of a scale branch


def real_to_binary(
    weights: Mapping[str, npt.ArrayLike] | None = None,
    *,
    seed: int = 0,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
) -> Model:
    """The Real-to-Binary network: 11,995,624 parameters, statistics of batch norms included.

    Args:
        weights: by name, or None for random ones: `conv1.weight`, `bn1`, `prelu1.weight` (64,); for layers l from 1 to
            4 and blocks b from 0 to 3 `layerl.b.bn`, `layerl.b.conv.weight` (its sign counts),
            `layerl.b.reduce.weight` (channels / 8, channels), `layerl.b.expand.weight` (outputs, channels / 8),
            `layerl.b.prelu.weight` (outputs,); for layers from 2 `layerl.0.shortcut.conv.weight` and
            `layerl.0.shortcut.bn`; `fc.weight`, `fc.bias`. A bn is four vectors: .weight, .bias, .running_mean,
            .running_var.
        seed: of random weights.
        input_shape: (height, width, 3).
        classes: how many logits.

    Returns:
        float32 image, (height, width, 3), to float32 logits, (classes,).

    Raises:
        ModelError: a weight is missing, too many, or of another shape; the image is too small.
    """
    g, w = Graph("real_to_binary"), Weights(weights, seed)
    x = g.input(input_shape, name="image")
    kernel = w.conv("conv1.weight", (64, x.shape[2], 7, 7))
    x = g(Conv2d(kernel, strides=2, padding=same(x.shape, 7, 2)), x, name="conv1")
    x = g(w.batch_norm("bn1", 64, EPSILON), x, name="bn1")
    x = g(PReLU(w.vector("prelu1.weight", 64, 0.05, 0.5)), x, name="prelu1")
    x = g(MaxPool2d(3, 2, same(x.shape, 3, 2)), x, name="pool1")
    for layer in range(1, 5):
        for block in range(4):
            stride = 2 if layer > 1 and block == 0 else 1
            x = _block(g, w, x, 32 << layer, stride, f"layer{layer}.{block}")
    x = g(GlobalAveragePool(), x, name="pool2")
    dense = Dense(w.dense("fc.weight", (classes, x.shape[0])), bias=w.vector("fc.bias", classes))
    logits = g(dense, x, name="fc")
    w.finish()
    return g.model(logits)


def _block(g: Graph, w: Weights, x: Value, channels: int, stride: int, prefix: str) -> Value:
    """Batch norm, sign, binary 3x3, the image's own scales, PReLU; and the input, brought to size, added."""
    normal = g(w.batch_norm(f"{prefix}.bn", x.shape[2], EPSILON), x, name=f"{prefix}.bn")
    y = g(Sign(), normal, name=f"{prefix}.sign")
    kernel = w.conv(f"{prefix}.conv.weight", (channels, x.shape[2], 3, 3))
    y = g(BinaryConv2d.from_real(kernel, strides=stride, padding=same(x.shape, 3, stride)), y, name=f"{prefix}.conv")
    y = g(Multiply(), y, _scales(g, w, normal, channels, prefix), name=f"{prefix}.scale")
    y = g(PReLU(w.vector(f"{prefix}.prelu.weight", channels, 0.05, 0.5)), y, name=f"{prefix}.prelu")
    if channels != x.shape[2]:
        side = f"{prefix}.shortcut"
        x = g(AveragePool2d(2, padding=same(x.shape, 2, 2), count_include_pad=False), x, name=f"{side}.pool")
        x = g(Conv2d(w.conv(f"{side}.conv.weight", (channels, x.shape[2], 1, 1))), x, name=f"{side}.conv")
        x = g(w.batch_norm(f"{side}.bn", channels, EPSILON), x, name=f"{side}.bn")
    return g(Add(), y, x, name=f"{prefix}.add")


def _scales(g: Graph, w: Weights, normal: Value, channels: int, prefix: str) -> Value:
    """A scale for each output channel out of the means of the real-valued input (section 4.3)."""
    few = normal.shape[2] // SQUEEZE
    z = g(GlobalAveragePool(), normal, name=f"{prefix}.squeeze")
    z = g(Dense(w.dense(f"{prefix}.reduce.weight", (few, normal.shape[2]))), z, name=f"{prefix}.reduce")
    z = g(ReLU(), z, name=f"{prefix}.relu")
    z = g(Dense(w.dense(f"{prefix}.expand.weight", (channels, few))), z, name=f"{prefix}.expand")
    return g(Sigmoid(), z, name=f"{prefix}.sigmoid")
