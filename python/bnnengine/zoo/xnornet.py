"""XNOR-Net (arXiv:1603.05279): AlexNet with binary convolutions whose inputs are scaled as well as their weights.

The scale of the inputs, K = box filter of (mean of |x| over channels), is another one for each image and each pixel.
It is computed in float: Abs, a pointwise convolution, a convolution with a box, and a product.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from bnnengine.graph import Graph, Value
from bnnengine.layers import Abs, BinaryConv2d, Conv2d, Dense, Flatten, MaxPool2d, Multiply, ReLU, Sign
from bnnengine.model import Model
from bnnengine.zoo.weights import Weights

# number, outputs, kernel (0: all that is left of the image), padding, whether a pool follows
LAYERS = (
    (2, 256, 5, 2, True),
    (3, 384, 3, 1, False),
    (4, 384, 3, 1, False),
    (5, 256, 3, 1, True),
    (6, 4096, 0, 0, False),
    (7, 4096, 1, 0, False),
)


def xnornet(
    weights: Mapping[str, npt.ArrayLike] | None = None,
    *,
    seed: int = 0,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    input_scale: bool = True,
) -> Model:
    """XNOR-Net on AlexNet: 62,388,104 parameters.

    Args:
        weights: by name, or None for random ones: `conv1.weight`, `bn1`; for layers l from 2 to 7 `bnl` and
            `convl.weight` (its signs count, and its mean magnitude for each output); `bn8`; `fc.weight`, `fc.bias`. A
            bn is four vectors: .weight, .bias, .running_mean, .running_var. Convolutions have no biases: subtract
            them from the means of the batch norms behind them.
        seed: of random weights.
        input_shape: (height, width, 3), at least 63. The sixth convolution covers all that is left of the image,
            6 x 6 of 224 x 224.
        classes: how many logits.
        input_scale: whether binary convolutions are scaled by K, as in the paper; the authors' code does without.

    Returns:
        float32 image, (height, width, 3), to float32 logits, (classes,).

    Raises:
        ModelError: a weight is missing, too many, or of another shape; the image is too small.
    """
    g, w = Graph("xnornet"), Weights(weights, seed)
    x = g.input(input_shape, name="image")
    x = g(Conv2d(w.conv("conv1.weight", (96, x.shape[2], 11, 11)), strides=4, padding=2), x, name="conv1")
    x = g(ReLU(), g(w.batch_norm("bn1", 96, 1e-5), x, name="bn1"), name="relu1")
    x = g(MaxPool2d(3, 2), x, name="pool1")
    for number, outputs, kernel, padding, pool in LAYERS:
        size = (kernel, kernel) if kernel else (x.shape[0], x.shape[1])
        x = g(w.batch_norm(f"bn{number}", x.shape[2], 1e-4), x, name=f"bn{number}")
        x = _binary(g, w, x, outputs, size, padding, number, input_scale)
        if pool:
            x = g(MaxPool2d(3, 2), x, name=f"pool{number}")
    x = g(ReLU(), g(w.batch_norm("bn8", x.shape[2], 1e-3), x, name="bn8"), name="relu8")
    x = g(Flatten(), x, name="flatten")
    dense = Dense(w.dense("fc.weight", (classes, x.shape[0])), bias=w.vector("fc.bias", classes))
    logits = g(dense, x, name="fc")
    w.finish()
    return g.model(logits)


def _binary(
    g: Graph, w: Weights, x: Value, outputs: int, kernel: tuple[int, int], padding: int, number: int, scaled: bool
) -> Value:
    """sign(x) * sign(w), times the mean magnitude of each output's weights, times K (equation 11)."""
    real = w.conv(f"conv{number}.weight", (outputs, x.shape[2], *kernel))
    layer = BinaryConv2d.from_real(real, magnitude=True, padding=padding)
    y = g(layer, g(Sign(), x, name=f"sign{number}"), name=f"conv{number}")
    if not scaled:
        return y
    mean = Conv2d(np.full((1, 1, 1, x.shape[2]), 1 / x.shape[2]))
    box = Conv2d(np.full((1, *kernel, 1), 1 / (kernel[0] * kernel[1])), padding=padding)
    k = g(mean, g(Abs(), x, name=f"scale{number}.abs"), name=f"scale{number}.mean")
    return g(Multiply(), y, g(box, k, name=f"scale{number}.box"), name=f"scale{number}.multiply")
