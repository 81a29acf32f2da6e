"""bnnengine runs binarized neural networks, one bit a weight and one bit an activation, on ordinary CPUs.

    engine = bnnengine.Engine.load("model.bnn")
    y = engine.predict(x)

`Sequential` (chains) and `Graph` (anything else) build a network from layers and NumPy arrays; `Model.save` packs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bnnengine._version import __version__
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
from bnnengine.spec import TensorSpec

if TYPE_CHECKING:
    from bnnengine.bits import BitTensor
    from bnnengine.convert import _Callable as _Convert
    from bnnengine.graph import Graph, Value
    from bnnengine.layers import (
        GELU,
        Abs,
        Add,
        ArgMax,
        AveragePool2d,
        BatchNorm,
        Binarize,
        BinaryConv1d,
        BinaryConv2d,
        BinaryDense,
        BinaryMatMul,
        BlurPool2d,
        ChannelShuffle,
        Clip,
        Concat,
        Conv1d,
        Conv2d,
        Dense,
        Flatten,
        GlobalAveragePool,
        GlobalMaxPool,
        HardSigmoid,
        HardSwish,
        HardTanh,
        Input,
        Layer,
        LayerNorm,
        LeakyReLU,
        MaxPool2d,
        Multiply,
        Pad,
        PReLU,
        ReLU,
        ReLU6,
        Reshape,
        RPReLU,
        RSign,
        ScaleBias,
        Sigmoid,
        Sign,
        SiLU,
        Slice,
        Softmax,
        Subtract,
        Tanh,
        Threshold,
        TopK,
        Transpose,
        Upsample2d,
    )
    from bnnengine.model import Model, Node, Sequential

    convert: _Convert  # a module that can be called, for which type checkers have no word

# What only those need who build networks, and who only load them should not wait for.
_BUILDING = ("bnnengine.layers", "bnnengine.model", "bnnengine.graph", "bnnengine.bits")


def __getattr__(name: str) -> Any:
    """Imports a layer, the builders or a subpackage when it is first asked for."""
    if name in ("convert", "zoo"):
        return import_module(f"bnnengine.{name}")
    modules = map(import_module, _BUILDING if name in __all__ else ())
    home = next((module for module in modules if hasattr(module, name)), None)
    if home is None:
        raise AttributeError(f"module 'bnnengine' has no attribute {name!r}")
    globals()[name] = getattr(home, name)
    return globals()[name]


def __dir__() -> list[str]:
    """Every public name."""
    return [*__all__, "convert", "zoo"]


__all__ = [
    "GELU",
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
    "BitTensor",
    "BlurPool2d",
    "BnnError",
    "ChannelShuffle",
    "Clip",
    "Concat",
    "Conv1d",
    "Conv2d",
    "Dense",
    "Engine",
    "Flatten",
    "FormatError",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Graph",
    "HardSigmoid",
    "HardSwish",
    "HardTanh",
    "Input",
    "InputError",
    "InputTypeError",
    "IsaError",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "LimitError",
    "MaxPool2d",
    "Model",
    "ModelError",
    "Multiply",
    "Node",
    "PReLU",
    "Pad",
    "Profile",
    "RPReLU",
    "RSign",
    "ReLU",
    "ReLU6",
    "Reshape",
    "ScaleBias",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Sign",
    "Slice",
    "Softmax",
    "StepProfile",
    "Subtract",
    "Tanh",
    "TensorSpec",
    "Threshold",
    "TopK",
    "Transpose",
    "Upsample2d",
    "Value",
    "VersionError",
    "__version__",
]
