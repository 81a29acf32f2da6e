"""bnnengine runs binarized neural networks, one bit a weight and one bit an activation, on ordinary CPUs.

    engine = bnnengine.Engine.load("model.bnn")
    y = engine.predict(x)

`Sequential` and the layers build a network from NumPy arrays; `Model.save` packs it.
"""

from __future__ import annotations

from bnnengine._version import __version__
from bnnengine.bits import BitTensor
from bnnengine.engine import Engine, Profile, StepProfile
from bnnengine.errors import (
    BnnError,
    FormatError,
    InputError,
    InputTypeError,
    IsaError,
    LimitError,
    ModelError,
    VersionError,
)
from bnnengine.layers import (
    ArgMax,
    BatchNorm,
    Binarize,
    BinaryConv2d,
    BinaryDense,
    Conv2d,
    Dense,
    Flatten,
    GlobalAveragePool,
    Input,
    Layer,
    MaxPool2d,
    ScaleBias,
    Sign,
    Softmax,
    Threshold,
)
from bnnengine.model import Model, Node, Sequential
from bnnengine.spec import TensorSpec

__all__ = [
    "ArgMax",
    "BatchNorm",
    "Binarize",
    "BinaryConv2d",
    "BinaryDense",
    "BitTensor",
    "BnnError",
    "Conv2d",
    "Dense",
    "Engine",
    "Flatten",
    "FormatError",
    "GlobalAveragePool",
    "Input",
    "InputError",
    "InputTypeError",
    "IsaError",
    "Layer",
    "LimitError",
    "MaxPool2d",
    "Model",
    "ModelError",
    "Node",
    "Profile",
    "ScaleBias",
    "Sequential",
    "Sign",
    "Softmax",
    "StepProfile",
    "TensorSpec",
    "Threshold",
    "VersionError",
    "__version__",
]
