"""Layers: one file each, a dataclass with its output spec and its NumPy reference side by side."""

from __future__ import annotations

from bnnengine.layers.argmax import ArgMax
from bnnengine.layers.base import Input, Layer
from bnnengine.layers.batch_norm import BatchNorm
from bnnengine.layers.binarize import Binarize, Sign
from bnnengine.layers.conv2d import BinaryConv2d, Conv2d
from bnnengine.layers.dense import BinaryDense, Dense
from bnnengine.layers.flatten import Flatten
from bnnengine.layers.global_average_pool import GlobalAveragePool
from bnnengine.layers.max_pool2d import MaxPool2d
from bnnengine.layers.output import Threshold
from bnnengine.layers.scale_bias import ScaleBias
from bnnengine.layers.softmax import Softmax

# The operators of the file (docs/format.md) by number: adding a layer adds its line here.
OPERATORS: dict[int, type[Layer]] = {
    1: Binarize,
    2: BinaryConv2d,
    3: BinaryDense,
    4: Conv2d,
    5: Dense,
    6: MaxPool2d,
    7: GlobalAveragePool,
    8: Flatten,
    9: ScaleBias,
    10: Softmax,
    11: ArgMax,
}

__all__ = [
    "OPERATORS",
    "ArgMax",
    "BatchNorm",
    "Binarize",
    "BinaryConv2d",
    "BinaryDense",
    "Conv2d",
    "Dense",
    "Flatten",
    "GlobalAveragePool",
    "Input",
    "Layer",
    "MaxPool2d",
    "ScaleBias",
    "Sign",
    "Softmax",
    "Threshold",
]
