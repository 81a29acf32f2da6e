"""DoReFa-Net (arXiv:1606.06160) on AlexNet with weights and activations of 1 bit, as the authors' Tensorpack code.

An activation of 1 bit is 0 or 1, round(clip(x, 0, 1)), and a weight is its sign times the mean magnitude of its layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnengine.graph import Graph, Value
from bnnengine.layers import Binarize, BinaryConv2d, BinaryDense, Clip, Conv2d, Dense, Flatten, MaxPool2d
from bnnengine.model import Model
from bnnengine.zoo.padding import same
from bnnengine.zoo.weights import Weights, image_rows

EPSILON = 1e-4
# 0.5 is rounded to even, so to 0: 1 begins at the next float
HALF = np.nextafter(np.float32(0.5), np.float32(1))


def dorefanet(
    weights: Mapping[str, npt.ArrayLike] | None = None,
    *,
    seed: int = 0,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    groups: int = 2,
) -> Model:
    """DoReFa-Net (1-bit weights, 1-bit activations) on AlexNet: 60,985,416 parameters.

    Args:
        weights: by name, or None for random ones: `conv0.weight`, `conv0.bias`; for layers l from 1 to 4
            `convl.weight` (its signs count, and the mean magnitude of all of it) and `bnl`; `fc0.weight` (4096,
            channels x height x width), `fc0.bias`, `bnfc0`, `fc1.weight`, `bnfc1`; `fct.weight`, `fct.bias`. A bn is
            four vectors: .weight, .bias, .running_mean, .running_var.
        seed: of random weights.
        input_shape: (height, width, 3), at least 44.
        classes: how many logits.
        groups: of convolutions 1, 3 and 4; Larq Zoo's DoReFaNet has 1.

    Returns:
        float32 image, (height, width, 3), to float32 logits, (classes,).

    Raises:
        ModelError: a weight is missing, too many, or of another shape; the image is too small.
    """
    g, w = Graph("dorefanet"), Weights(weights, seed)
    x = g.input(input_shape, name="image")
    layer = Conv2d(w.conv("conv0.weight", (96, x.shape[2], 12, 12)), strides=4, bias=w.vector("conv0.bias", 96))
    x = g(Binarize(HALF), g(layer, x, name="conv0"), name="activate0")
    for number, outputs, kernel, split in (
        (1, 256, 5, groups),
        (2, 384, 3, 1),
        (3, 384, 3, groups),
        (4, 256, 3, groups),
    ):
        real = w.conv(f"conv{number}.weight", (outputs, x.shape[2] // split, kernel, kernel))
        conv = BinaryConv2d.from_real(
            real, scale=_magnitude(real), padding=same(x.shape, kernel), groups=split, zero_one=True
        )
        x = g(conv, x, name=f"conv{number}")
        x = g(w.batch_norm(f"bn{number}", outputs, EPSILON), x, name=f"bn{number}")
        if number != 3:
            padding = 0 if number == 4 else same(x.shape, 3, 2)
            x = g(MaxPool2d(3, 2, padding), x, name=f"pool{number}")
        x = g(Binarize(HALF), x, name=f"activate{number}")
    return _dense_part(g, w, x, classes)


def _dense_part(g: Graph, w: Weights, x: Value, classes: int) -> Model:
    image, x = x.shape, g(Flatten(), x, name="flatten")
    real = image_rows(w.dense("fc0.weight", (4096, x.shape[0])), image)
    dense = _binary_dense(real, bias=w.vector("fc0.bias", 4096))
    x = g(w.batch_norm("bnfc0", 4096, EPSILON), g(dense, x, name="fc0"), name="bnfc0")
    x = g(Binarize(HALF), x, name="activate5")
    dense = _binary_dense(w.dense("fc1.weight", (4096, 4096)))
    x = g(w.batch_norm("bnfc1", 4096, EPSILON), g(dense, x, name="fc1"), name="bnfc1")
    x = g(Clip(0.0, 1.0), x, name="activate6")
    logits = g(Dense(w.dense("fct.weight", (classes, 4096)), bias=w.vector("fct.bias", classes)), x, name="fct")
    w.finish()
    return g.model(logits)


def _magnitude(real: npt.NDArray[Any]) -> float:
    return float(np.abs(real.astype(np.float64)).mean())


def _binary_dense(real: npt.NDArray[Any], **fields: Any) -> BinaryDense:
    return BinaryDense(real >= 0, scale=_magnitude(real), zero_one=True, **fields)
