"""ONNX Runtime in float32: with every sign where it stands, or without them, the fastest that it can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from bnnengine import Model
from peers.translate import Array, Translator


class Onnx:
    """A graph of ONNX nodes; a value is its name."""

    def __init__(self, signs: bool) -> None:
        """Without a node yet."""
        self.signs = signs
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def _name(self) -> str:
        return f"v{len(self.nodes) + len(self.initializers)}"

    def constant(self, array: Array) -> str:
        """An initializer."""
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def op(self, kind: str, *values: str, **attributes: Any) -> str:
        """A node; attributes that ONNX has as inputs become such."""
        inputs, a = list(values), dict(attributes)
        if kind == "Reshape":
            inputs.append(self.constant(np.array(a.pop("shape"), np.int64)))
        elif kind == "Pad":
            inputs.append(self.constant(np.array(a.pop("pads"), np.int64)))
            inputs.append(self.constant(np.array(a.pop("value"), np.float32)))
        elif kind == "Slice":
            inputs += [self.constant(np.array([a.pop(n)], np.int64)) for n in ("start", "stop", "axis")]
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **a))
        return name

    def sign(self, x: str, threshold: Array, flip: Array) -> str:
        """Sign of the difference; a 0 stays 0, which no random network meets."""
        if not self.signs:
            return x
        if threshold.any():
            x = self.op("Sub", x, self.constant(threshold))
        x = self.op("Sign", x)
        return self.op("Mul", x, self.constant(np.where(flip, -1, 1).astype(np.float32))) if flip.any() else x

    def binary_conv(self, x: str, weight: Array, pad_value: int, attributes: dict[str, Any]) -> str:
        """A float convolution."""
        attributes = dict(attributes)
        top, left, bottom, right = attributes["pads"]
        if pad_value and any(attributes["pads"]):
            x = self.op("Pad", x, pads=[0, 0, top, left, 0, 0, bottom, right], value=float(pad_value))
            attributes["pads"] = [0, 0, 0, 0]
        return self.op("Conv", x, self.constant(weight), **attributes)


def network(model: Model, signs: bool) -> tuple[Any, str]:
    """The network from `image` (1, C, H, W) as an ONNX model, and the name of its first output."""
    engine = Onnx(signs)
    spec = model.inputs[0]
    (output, *_) = Translator(model, engine).run({spec.name: "image"})
    height, width, channels = spec.shape
    shapes = {"image": [1, channels, height, width], output: [1, *model.values[model.outputs[0]].shape]}
    entry, leave = (helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in shapes.items())
    graph = helper.make_graph(engine.nodes, "network", [entry], [leave], engine.initializers)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(proto)
    return proto, output


def session(model: Model, signs: bool, threads: int) -> Callable[[Array], Array]:
    """A function from one image (1, C, H, W) to the first output."""
    proto, output = network(model, signs)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    run = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda x: run.run([output], {"image": x})[0]
