"""Bi-Real Net (arXiv:1808.00278), as the authors' PyTorch code has it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy.typing as npt

from bnnengine.graph import Graph, Value
from bnnengine.layers import Add, AveragePool2d, BinaryConv2d, Conv2d, Dense, GlobalAveragePool, MaxPool2d, Sign
from bnnengine.model import Model
from bnnengine.zoo.weights import Weights


def birealnet18(
    weights: Mapping[str, npt.ArrayLike] | None = None,
    *,
    seed: int = 0,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
) -> Model:
    """Bi-Real Net-18: 11,689,512 parameters.

    Args:
        weights: by name, or None for random ones: `conv1.weight`, `bn1`; for layers l from 1 to 4 and blocks b from 0
            `layerl.b.binary_conv.weights` (its signs count, and its mean magnitude for each output), (outputs,
            channels, 3, 3), or (elements, 1) as the authors keep it; `layerl.b.bn1`; for layers from 2
            `layerl.0.downsample.1.weight` and `layerl.0.downsample.2`, a bn; `fc.weight`, `fc.bias`. A bn is four
            vectors: .weight, .bias, .running_mean, .running_var.
        seed: of random weights.
        input_shape: (height, width, 3).
        classes: how many logits.

    Returns:
        float32 image, (height, width, 3), to float32 logits, (classes,).

    Raises:
        ModelError: a weight is missing, too many, or of another shape; the image is too small.
    """
    return _birealnet("birealnet18", (4, 4, 4, 4), weights, seed, input_shape, classes)


def birealnet34(
    weights: Mapping[str, npt.ArrayLike] | None = None,
    *,
    seed: int = 0,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
) -> Model:
    """Bi-Real Net-34: 21,797,672 parameters. Everything as for birealnet18."""
    return _birealnet("birealnet34", (6, 8, 12, 6), weights, seed, input_shape, classes)


def _birealnet(
    name: str,
    layers: tuple[int, ...],
    weights: Mapping[str, npt.ArrayLike] | None,
    seed: int,
    input_shape: tuple[int, int, int],
    classes: int,
) -> Model:
    g, w = Graph(name), Weights(weights, seed)
    x = g.input(input_shape, name="image")
    x = g(Conv2d(w.conv("conv1.weight", (64, x.shape[2], 7, 7)), strides=2, padding=3), x, name="conv1")
    x = g(MaxPool2d(3, 2, 1), g(w.batch_norm("bn1", 64), x, name="bn1"), name="maxpool")
    for layer, blocks in enumerate(layers, 1):
        for block in range(blocks):
            stride = 2 if layer > 1 and block == 0 else 1
            x = _block(g, w, x, 32 << layer, stride, f"layer{layer}.{block}")
    dense = Dense(w.dense("fc.weight", (classes, x.shape[2])), bias=w.vector("fc.bias", classes))
    logits = g(dense, g(GlobalAveragePool(), x, name="avgpool"), name="fc")
    w.finish()
    return g.model(logits)


def _block(g: Graph, w: Weights, x: Value, channels: int, stride: int, prefix: str) -> Value:
    """Sign, binary 3x3 with mean magnitudes, batch norm; and the input, brought to size, added."""
    kernel = w.conv(f"{prefix}.binary_conv.weights", (channels, x.shape[2], 3, 3))
    y = g(Sign(), x, name=f"{prefix}.binary_activation")
    layer = BinaryConv2d.from_real(kernel, magnitude=True, strides=stride, padding=1)
    y = g(layer, y, name=f"{prefix}.binary_conv")
    y = g(w.batch_norm(f"{prefix}.bn1", channels), y, name=f"{prefix}.bn1")
    if stride != 1:
        down = f"{prefix}.downsample"
        kernel = w.conv(f"{down}.1.weight", (channels, x.shape[2], 1, 1))
        x = g(Conv2d(kernel), g(AveragePool2d(2), x, name=f"{down}.0"), name=f"{down}.1")
        x = g(w.batch_norm(f"{down}.2", channels), x, name=f"{down}.2")
    return g(Add(), y, x, name=f"{prefix}.add")
