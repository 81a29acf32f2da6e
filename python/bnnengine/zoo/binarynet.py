"""The VGG of BinaryConnect (arXiv:1511.00363) and BinaryNet (arXiv:1602.02830) for CIFAR-10, and FINN's smaller CNV."""

from __future__ import annotations

from collections.abc import Mapping

import numpy.typing as npt

from bnnengine.graph import Graph, Value
from bnnengine.layers import BinaryConv2d, BinaryDense, Flatten, Layer, MaxPool2d, ReLU, ScaleBias, Sign
from bnnengine.model import Model
from bnnengine.zoo.weights import Weights, image_rows


def binarynet(
    weights: Mapping[str, npt.ArrayLike] | None = None,
    *,
    seed: int = 0,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    width: int = 1,
) -> Model:
    """BinaryNet's VGG, binary weights and activations: 14,033,546 parameters, as the authors' PyTorch code has it.

    Args:
        weights: by name, or None for random ones: for k in 0, 3, 7, 10, 14, 17 `features.k.weight` (its signs count)
            and `features.k.bias`; for k in 1, 5, 8, 12, 15, 19 a bn `features.k`; for k in 0, 3, 6
            `classifier.k.weight`, (outputs, channels x height x width) in the first, and `classifier.k.bias`; bns
            `classifier.1`, `classifier.4`, and `classifier.7` without .weight and .bias. A bn is four vectors:
            .weight, .bias, .running_mean, .running_var.
        seed: of random weights.
        input_shape: (height, width, 3), at least 8.
        classes: how many logits.
        width: times the channels of all convolutions but the last: 1 in the paper, 3 in the PyTorch code.

    Returns:
        float32 image, (height, width, 3), to float32 logits, (classes,), before the code's log-softmax.

    Raises:
        ModelError: a weight is missing, too many, or of another shape; the image is too small.
    """
    return _vgg("binarynet", Sign(), weights, seed, input_shape, classes, width)


def binaryconnect(
    weights: Mapping[str, npt.ArrayLike] | None = None,
    *,
    seed: int = 0,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    width: int = 1,
) -> Model:
    """BinaryConnect's VGG: weights are binary, activations are float behind ReLUs. Everything else as for binarynet."""
    return _vgg("binaryconnect", ReLU(), weights, seed, input_shape, classes, width)


def _vgg(
    name: str,
    activation: Layer,
    weights: Mapping[str, npt.ArrayLike] | None,
    seed: int,
    input_shape: tuple[int, int, int],
    classes: int,
    width: int,
) -> Model:
    """Names count as in the code's nn.Sequential, where a Hardtanh stands before the sign and leaves it as it is."""
    g, w = Graph(name), Weights(weights, seed)
    x, place = g.input(input_shape, name="image"), 0
    for number, channels in enumerate((128 * width, 128 * width, 256 * width, 256 * width, 512 * width, 512)):
        real = w.conv(f"features.{place}.weight", (channels, x.shape[2], 3, 3))
        layer = BinaryConv2d.from_real(real, padding=1, bias=w.vector(f"features.{place}.bias", channels))
        x = g(layer, x, name=f"features.{place}")
        if number % 2:
            x = g(MaxPool2d(2), x, name=f"features.{place + 1}")
        place += 2 + number % 2
        x = g(w.batch_norm(f"features.{place - 1}", channels), x, name=f"features.{place - 1}")
        x = g(activation, x, name=f"features.{place}")
        place += 1
    image, x = x.shape, g(Flatten(), x, name="flatten")
    for place, outputs in ((0, 1024), (3, 1024), (6, classes)):
        real = w.dense(f"classifier.{place}.weight", (outputs, x.shape[0]))
        real = image_rows(real, image) if place == 0 else real
        dense = BinaryDense(real >= 0, bias=w.vector(f"classifier.{place}.bias", outputs))
        x = g(dense, x, name=f"classifier.{place}")
        norm, last = f"classifier.{place + 1}", place == 6
        x = g(w.batch_norm(norm, outputs, center=not last, scale=not last), x, name=norm)
        x = x if last else g(activation, x, name=f"classifier.{place + 2}")
    w.finish()
    return g.model(x)


def cnv(
    weights: Mapping[str, npt.ArrayLike] | None = None,
    *,
    seed: int = 0,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
) -> Model:
    """FINN's CNV (arXiv:1612.07119) with 1-bit weights and activations: 1,542,848 weights, as Brevitas has it.

    Args:
        weights: by name, or None for random ones: for k in 1, 4, 8, 11, 15, 18 `conv_features.k.weight` (its signs
            count) and, for the numbers after them, a bn `conv_features.(k+1)`; for k in 0, 3, 6
            `linear_features.k.weight`; bns `linear_features.1`, `linear_features.4`, and `linear_features.7`, which
            has one number for all classes. A bn is four vectors: .weight, .bias, .running_mean, .running_var.
        seed: of random weights.
        input_shape: (height, width, 3), at least 30.
        classes: how many logits.

    Returns:
        float32 image, (height, width, 3), already brought to -1 .. 1 (and to 8 bits, where that matters), to float32
        logits, (classes,).

    Raises:
        ModelError: a weight is missing, too many, or of another shape; the image is too small.
    """
    g, w = Graph("cnv"), Weights(weights, seed)
    x, place = g.input(input_shape, name="image"), 1
    for number, channels in enumerate((64, 64, 128, 128, 256, 256)):
        name = f"conv_features.{place}"
        real = w.conv(f"{name}.weight", (channels, x.shape[2], 3, 3))
        x = g(BinaryConv2d.from_real(real), x, name=name)
        x = _norm_and_sign(g, w, x, "conv_features", place + 1)
        place += 3
        if number in (1, 3):
            x = g(MaxPool2d(2), x, name=f"conv_features.{place}")
            place += 1
    image, x = x.shape, g(Flatten(), x, name="flatten")
    for place, outputs in ((0, 512), (3, 512), (6, classes)):
        real = w.dense(f"linear_features.{place}.weight", (outputs, x.shape[0]))
        real = image_rows(real, image) if place == 0 else real
        x = g(BinaryDense(real >= 0), x, name=f"linear_features.{place}")
        if place < 6:
            x = _norm_and_sign(g, w, x, "linear_features", place + 1)
    norm = w.batch_norm("linear_features.7", 1, 1e-4)
    scale, bias = norm.scale_bias()
    logits = g(ScaleBias(scale[0], bias[0]), x, name="linear_features.7")
    w.finish()
    return g.model(logits)


def _norm_and_sign(g: Graph, w: Weights, x: Value, part: str, place: int) -> Value:
    name = f"{part}.{place}"
    x = g(w.batch_norm(name, x.shape[-1], 1e-4), x, name=name)
    return g(Sign(), x, name=f"{part}.{place + 1}")
