"""ReActNet (arXiv:2003.03488), as the authors' PyTorch code has it: learned shifts before signs and around PReLUs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy.typing as npt

from bnnengine.graph import Graph, Value
from bnnengine.layers import (
    Add,
    AveragePool2d,
    BinaryConv2d,
    Concat,
    Conv2d,
    Dense,
    GlobalAveragePool,
    MaxPool2d,
    RPReLU,
    RSign,
)
from bnnengine.model import Model
from bnnengine.zoo.weights import Weights

CHANNELS_A = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)


def reactnet_a(
    weights: Mapping[str, npt.ArrayLike] | None = None,
    *,
    seed: int = 0,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
) -> Model:
    """ReActNet-A, on the shape of MobileNet: 29,343,592 parameters.

    Args:
        weights: by name, or None for random ones: `feature.0.conv1.weight`, `feature.0.bn1`; for blocks i from 1 to 13
            `feature.i.move11.bias`, `.binary_3x3.weights`, `.bn1`, `.move12.bias`, `.prelu1.weight`, `.move13.bias`,
            `.move21.bias`; where channels stay `.binary_pw.weights` and `.bn2`, where they double
            `.binary_pw_down1.weights`, `.bn2_1`, `.binary_pw_down2.weights` and `.bn2_2`; `.move22.bias`,
            `.prelu2.weight`, `.move23.bias`; `fc.weight`, `fc.bias`. Of binary weights the signs count, and the mean
            magnitude for each output; they may be (elements, 1) as the authors keep them. A bn is four vectors:
            .weight, .bias, .running_mean, .running_var.
        seed: of random weights.
        input_shape: (height, width, 3), of multiples of 32.
        classes: how many logits.

    Returns:
        float32 image, (height, width, 3), to float32 logits, (classes,).

    Raises:
        ModelError: a weight is missing, too many, or of another shape; the image is too small, or a shortcut does not
            fit, since sizes are odd before a stride.
    """
    g, w = Graph("reactnet_a"), Weights(weights, seed)
    x = g.input(input_shape, name="image")
    kernel = w.conv("feature.0.conv1.weight", (CHANNELS_A[0], x.shape[2], 3, 3))
    x = g(Conv2d(kernel, strides=2, padding=1), x, name="feature.0.conv1")
    x = g(w.batch_norm("feature.0.bn1", CHANNELS_A[0]), x, name="feature.0.bn1")
    for number, channels in enumerate(CHANNELS_A[1:], 1):
        stride = 2 if number > 1 and channels != x.shape[2] else 1
        x = _depthwise_like(g, w, x, stride, f"feature.{number}")
        x = _pointwise(g, w, x, channels, f"feature.{number}")
    return _head(g, w, x, classes, "pool1")


def _depthwise_like(g: Graph, w: Weights, x: Value, stride: int, prefix: str) -> Value:
    """RSign, binary 3x3, batch norm, the input added, RPReLU; channels stay."""
    channels = x.shape[2]
    y = _binary(g, w, g(_rsign(w, f"{prefix}.move11", channels), x, name=f"{prefix}.binary_activation1"),
                f"{prefix}.binary_3x3", "weights", channels, 3, stride)  # fmt: skip
    y = g(w.batch_norm(f"{prefix}.bn1", channels), y, name=f"{prefix}.bn1")
    if stride == 2:
        x = g(AveragePool2d(2), x, name=f"{prefix}.pooling")
    y = g(Add(), y, x, name=f"{prefix}.add1")
    return _rprelu(g, w, y, prefix, "move12", "prelu1", "move13")


def _pointwise(g: Graph, w: Weights, x: Value, channels: int, prefix: str) -> Value:
    """RSign, binary 1x1, batch norm, the input added; twice, side by side, where channels double; RPReLU."""
    bits = g(_rsign(w, f"{prefix}.move21", x.shape[2]), x, name=f"{prefix}.binary_activation2")
    halves = [("binary_pw", "bn2", "add2")]
    if channels != x.shape[2]:
        halves = [("binary_pw_down1", "bn2_1", "add2_1"), ("binary_pw_down2", "bn2_2", "add2_2")]
    made = []
    for conv, norm, add in halves:
        y = _binary(g, w, bits, f"{prefix}.{conv}", "weights", x.shape[2], 1)
        y = g(w.batch_norm(f"{prefix}.{norm}", x.shape[2]), y, name=f"{prefix}.{norm}")
        made.append(g(Add(), y, x, name=f"{prefix}.{add}"))
    y = made[0] if len(made) == 1 else g(Concat(), *made, name=f"{prefix}.cat")
    return _rprelu(g, w, y, prefix, "move22", "prelu2", "move23")


def reactnet18(
    weights: Mapping[str, npt.ArrayLike] | None = None,
    *,
    seed: int = 0,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
) -> Model:
    """ReActNet-18, on Bi-Real Net-18: 11,704,424 parameters.

    Args:
        weights: by name, or None for random ones: `conv1.weight`, `bn1`; for layers l from 1 to 4 and blocks b from 0
            to 3 `layerl.b.move0.bias`, `layerl.b.binary_conv.weight` (its signs count, and its mean magnitude for each
            output), `layerl.b.bn1`, `layerl.b.move1.bias`, `layerl.b.prelu.weight`, `layerl.b.move2.bias`; for layers
            from 2 `layerl.0.downsample.1.weight` and `layerl.0.downsample.2`, a bn; `fc.weight`, `fc.bias`. A bn is
            four vectors: .weight, .bias, .running_mean, .running_var.
        seed: of random weights.
        input_shape: (height, width, 3).
        classes: how many logits.

    Returns:
        float32 image, (height, width, 3), to float32 logits, (classes,).

    Raises:
        ModelError: a weight is missing, too many, or of another shape; the image is too small.
    """
    g, w = Graph("reactnet18"), Weights(weights, seed)
    x = g.input(input_shape, name="image")
    x = g(Conv2d(w.conv("conv1.weight", (64, x.shape[2], 7, 7)), strides=2, padding=3), x, name="conv1")
    x = g(MaxPool2d(3, 2, 1), g(w.batch_norm("bn1", 64), x, name="bn1"), name="maxpool")
    for layer in range(1, 5):
        for block in range(4):
            stride = 2 if layer > 1 and block == 0 else 1
            x = _residual(g, w, x, 32 << layer, stride, f"layer{layer}.{block}")
    return _head(g, w, x, classes, "avgpool")


def _residual(g: Graph, w: Weights, x: Value, channels: int, stride: int, prefix: str) -> Value:
    """RSign, binary 3x3, batch norm, the input, brought to size, added, RPReLU."""
    y = g(_rsign(w, f"{prefix}.move0", x.shape[2]), x, name=f"{prefix}.binary_activation")
    y = _binary(g, w, y, f"{prefix}.binary_conv", "weight", channels, 3, stride)
    y = g(w.batch_norm(f"{prefix}.bn1", channels), y, name=f"{prefix}.bn1")
    if stride == 2:
        down = f"{prefix}.downsample"
        kernel = w.conv(f"{down}.1.weight", (channels, x.shape[2], 1, 1))
        x = g(Conv2d(kernel), g(AveragePool2d(2), x, name=f"{down}.0"), name=f"{down}.1")
        x = g(w.batch_norm(f"{down}.2", channels), x, name=f"{down}.2")
    return _rprelu(g, w, g(Add(), y, x, name=f"{prefix}.add"), prefix, "move1", "prelu", "move2")


def _rsign(w: Weights, name: str, channels: int) -> RSign:
    return RSign(w.vector(f"{name}.bias", channels))


def _rprelu(g: Graph, w: Weights, x: Value, prefix: str, before: str, prelu: str, after: str) -> Value:
    """The paper subtracts the shift before the PReLU; the code adds one."""
    channels = x.shape[2]
    shift_in = -w.vector(f"{prefix}.{before}.bias", channels)
    slope = w.vector(f"{prefix}.{prelu}.weight", channels, 0.05, 0.5)
    return g(RPReLU(shift_in, slope, w.vector(f"{prefix}.{after}.bias", channels)), x, name=f"{prefix}.{prelu}")


def _binary(
    g: Graph, w: Weights, bits: Value, name: str, field: str, channels: int, kernel: int, stride: int = 1
) -> Value:
    """A binary convolution, padded with zeros after the sign, each output scaled by its weights' mean magnitude."""
    real = w.conv(f"{name}.{field}", (channels, bits.shape[2], kernel, kernel))
    layer = BinaryConv2d.from_real(real, magnitude=True, strides=stride, padding=kernel // 2)
    return g(layer, bits, name=name)


def _head(g: Graph, w: Weights, x: Value, classes: int, pool: str) -> Model:
    x = g(GlobalAveragePool(), x, name=pool)
    dense = Dense(w.dense("fc.weight", (classes, x.shape[0])), bias=w.vector("fc.bias", classes))
    logits = g(dense, x, name="fc")
    w.finish()
    return g.model(logits)
