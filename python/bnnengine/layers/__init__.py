"""Layers: a dataclass each with its output spec and its NumPy reference side by side, kindred ones in one file."""

from __future__ import annotations

from bnnengine.layers.activations import Clip, HardSigmoid, HardTanh, LeakyReLU, PReLU, ReLU, ReLU6, RPReLU
from bnnengine.layers.argmax import ArgMax
from bnnengine.layers.average_pool2d import AveragePool2d, BlurPool2d
from bnnengine.layers.base import Input, Layer
from bnnengine.layers.batch_norm import BatchNorm
from bnnengine.layers.binarize import Binarize, RSign, Sign
from bnnengine.layers.binary_matmul import BinaryMatMul
from bnnengine.layers.conv1d import BinaryConv1d, Conv1d
from bnnengine.layers.conv2d import BinaryConv2d, Conv2d
from bnnengine.layers.dense import BinaryDense, Dense
from bnnengine.layers.flatten import Flatten
from bnnengine.layers.global_average_pool import GlobalAveragePool
from bnnengine.layers.max_pool2d import MaxPool2d
from bnnengine.layers.merge import Add, Multiply, Subtract
from bnnengine.layers.output import Threshold
from bnnengine.layers.reductions import GlobalMaxPool, LayerNorm, TopK
from bnnengine.layers.scale_bias import ScaleBias
from bnnengine.layers.softmax import Softmax
from bnnengine.layers.structure import ChannelShuffle, Concat, Pad, Reshape, Slice, Transpose, Upsample2d
from bnnengine.layers.unary import GELU, Abs, HardSwish, Sigmoid, SiLU, Tanh, Unary

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
    12: PReLU,
    13: Clip,
    14: Unary,
    15: Add,
    16: Subtract,
    17: Multiply,
    18: Concat,
    19: Slice,
    20: ChannelShuffle,
    21: Transpose,
    22: Reshape,
    23: Pad,
    24: AveragePool2d,
    25: GlobalMaxPool,
    26: Upsample2d,
    27: TopK,
    28: LayerNorm,
    29: BinaryMatMul,
}

__all__ = [
    "GELU",
    "OPERATORS",
    "Abs",
    "Add",
    "ArgMax",
    "AveragePool2d",
    "BatchNorm",
    "Binarize",
    "BinaryConv1d",
    "BinaryConv2d",
    "BinaryDense",
    "BinaryMatMul",
    "BlurPool2d",
    "ChannelShuffle",
    "Clip",
    "Concat",
    "Conv1d",
    "Conv2d",
    "Dense",
    "Flatten",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "HardSigmoid",
    "HardSwish",
    "HardTanh",
    "Input",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "MaxPool2d",
    "Multiply",
    "PReLU",
    "Pad",
    "RPReLU",
    "RSign",
    "ReLU",
    "ReLU6",
    "Reshape",
    "ScaleBias",
    "SiLU",
    "Sigmoid",
    "Sign",
    "Slice",
    "Softmax",
    "Subtract",
    "Tanh",
    "Threshold",
    "TopK",
    "Transpose",
    "Upsample2d",
]
