"""BNext-T (arXiv:2211.12933), as the authors' PyTorch code has it once it is trained: signs of weights without a scale.

Each binary convolution is scaled, channel by channel and image by image, by a squeeze-and-excite branch that looks at
a mix of the convolution's float input and its output.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
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
    Multiply,
    PReLU,
    ReLU,
    RSign,
    ScaleBias,
    Sigmoid,
)
from bnnengine.model import Model
from bnnengine.zoo.weights import Weights

CHANNELS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
SQUEEZE = 8  # channels over those in the middle of a squeeze-and-excite branch


def bnext_t(
    weights: Mapping[str, npt.ArrayLike] | None = None,
    *,
    seed: int = 0,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
) -> Model:
    """BNext-T: 30,853,276 parameters, and 8,960 that the authors' module holds and does not use.

    Args:
        weights: by name, or None for random ones: `feature.0.conv1.weight`, `feature.0.bn1`; for blocks i from 1 to
            13 three or two units `feature.i.Attention`, and `.FFN` or, where channels double, `.FFN_1` and `.FFN_2`,
            each with `.move.bias`, `.binary_conv.weight` (its signs count), `.norm1`, `.activation2.weight`,
            `.scale`, `.se.se.1.weight`, `.se.se.1.bias`, `.se.se.3.weight`, `.se.se.3.bias` and `.norm2`; Attention
            of even i has `.activation1.weight` too; `prelu.weight`, `fc.weight`, `fc.bias`. A bn or norm is four
            vectors: .weight, .bias, .running_mean, .running_var. Vectors may be (1, channels, 1, 1), as the authors
            have them. What the code keeps and does not use may be there: temperatures, other PReLUs.
        seed: of random weights.
        input_shape: (height, width, 3), of multiples of 32.
        classes: how many logits.

    Returns:
        float32 image, (height, width, 3), to float32 logits, (classes,).

    Raises:
        ModelError: a weight is missing, too many, or of another shape; the image is too small, or a shortcut does not
            fit, since sizes are odd before a stride.
    """
    g, w = Graph("bnext_t"), Weights(None if weights is None else _used(weights), seed)
    x = g.input(input_shape, name="image")
    kernel = w.conv("feature.0.conv1.weight", (CHANNELS[0], x.shape[2], 3, 3))
    x = g(Conv2d(kernel, strides=2, padding=1), x, name="feature.0.conv1")
    x = g(w.batch_norm("feature.0.bn1", CHANNELS[0]), x, name="feature.0.bn1")
    for number, channels in enumerate(CHANNELS[1:], 1):
        stride = 2 if number > 1 and channels != x.shape[2] else 1
        prefix = f"feature.{number}"
        x = _three(g, w, x, stride, f"{prefix}.Attention", multiplied=number % 2 == 0)
        if channels == x.shape[2]:
            x = _one(g, w, x, f"{prefix}.FFN")
        else:
            halves = [_one(g, w, x, f"{prefix}.FFN_{half}") for half in (1, 2)]
            x = g(Concat(), *halves, name=f"{prefix}.cat")
    x = g(PReLU(w.vector("prelu.weight", x.shape[2], 0.05, 0.5)), x, name="prelu")
    x = g(GlobalAveragePool(), x, name="pool1")
    dense = Dense(w.dense("fc.weight", (classes, x.shape[0])), bias=w.vector("fc.bias", classes))
    logits = g(dense, x, name="fc")
    w.finish()
    return g.model(logits)


def _used(weights: Mapping[str, npt.ArrayLike]) -> dict[str, npt.ArrayLike]:
    """Without what the authors' modules hold and never read."""
    kept = {}
    for name, values in weights.items():
        parts = name.split(".")
        multiplied = len(parts) > 2 and parts[2] == "Attention" and int(parts[1]) % 2 == 0
        idle = "activation1" in parts and not multiplied
        if not (idle or parts[-1] == "temperature" or name == "feature.0.prelu.weight"):
            kept[name] = values
    return kept


def _three(g: Graph, w: Weights, x: Value, stride: int, prefix: str, *, multiplied: bool) -> Value:
    """RSign, binary 3x3, batch norm, PReLU, scaled; then times the shortcut (in every other block), norm, shortcut."""
    channels = x.shape[2]
    y = _convolved(g, w, x, 3, stride, prefix)
    pooled = g(AveragePool2d(2), x, name=f"{prefix}.pool_input") if stride == 2 else x
    y = _excited(g, w, pooled, y, prefix)
    shortcut = pooled
    if multiplied:
        shortcut = g(
            PReLU(w.vector(f"{prefix}.activation1.weight", channels, 0.05, 0.5)), x, name=f"{prefix}.activation1"
        )
        if stride == 2:
            shortcut = g(AveragePool2d(2), shortcut, name=f"{prefix}.pool_shortcut")
        y = g(Multiply(), y, shortcut, name=f"{prefix}.multiply")
    y = g(w.batch_norm(f"{prefix}.norm2", channels), y, name=f"{prefix}.norm2")
    return g(Add(), y, shortcut, name=f"{prefix}.add")


def _one(g: Graph, w: Weights, x: Value, prefix: str) -> Value:
    """RSign, binary 1x1, batch norm, PReLU, scaled, batch norm; and the input added."""
    y = _excited(g, w, x, _convolved(g, w, x, 1, 1, prefix), prefix, clipped=True)  # the code clips in these alone
    y = g(w.batch_norm(f"{prefix}.norm2", x.shape[2]), y, name=f"{prefix}.norm2")
    return g(Add(), y, x, name=f"{prefix}.add")


def _convolved(g: Graph, w: Weights, x: Value, kernel: int, stride: int, prefix: str) -> Value:
    channels = x.shape[2]
    bits = g(RSign(w.vector(f"{prefix}.move.bias", channels)), x, name=f"{prefix}.binary_activation")
    real = w.conv(f"{prefix}.binary_conv.weight", (channels, channels, kernel, kernel))
    layer = BinaryConv2d.from_real(real, strides=stride, padding=kernel // 2)
    y = g(
        w.batch_norm(f"{prefix}.norm1", channels), g(layer, bits, name=f"{prefix}.binary_conv"), name=f"{prefix}.norm1"
    )
    return g(PReLU(w.vector(f"{prefix}.activation2.weight", channels, 0.05, 0.5)), y, name=f"{prefix}.activation2")


def _excited(g: Graph, w: Weights, x: Value, y: Value, prefix: str, *, clipped: bool = False) -> Value:
    """y times scales out of the means of scale * x + (1 - scale) * y (the paper's info-recoupling)."""
    channels, few = y.shape[2], y.shape[2] // SQUEEZE
    share = w.vector(f"{prefix}.scale", channels, 0.2, 0.8)
    share = np.clip(share, 0, 1) if clipped else share
    ours, theirs = (
        g(ScaleBias(s), v, name=f"{prefix}.mix_{n}") for s, v, n in ((share, x, "input"), (1 - share, y, "x"))
    )
    z = g(GlobalAveragePool(), g(Add(), ours, theirs, name=f"{prefix}.mix"), name=f"{prefix}.se.se.0")
    squeeze = Dense(w.dense(f"{prefix}.se.se.1.weight", (few, channels)), bias=w.vector(f"{prefix}.se.se.1.bias", few))
    expand = Dense(
        w.dense(f"{prefix}.se.se.3.weight", (channels, few)), bias=w.vector(f"{prefix}.se.se.3.bias", channels)
    )
    z = g(ReLU(), g(squeeze, z, name=f"{prefix}.se.se.1"), name=f"{prefix}.se.se.2")
    z = g(Sigmoid(), g(expand, z, name=f"{prefix}.se.se.3"), name=f"{prefix}.se.attention")
    return g(Multiply(), y, z, name=f"{prefix}.excite")
