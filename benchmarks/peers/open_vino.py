"""OpenVINO: its 1-bit convolution where that is right (channels a multiple of 8, one group), else float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as op

from bnnengine import Model
from peers.translate import Array, Translator

SIMPLE = {
    "Mul": op.multiply, "Add": op.add, "Sub": op.subtract, "Relu": op.relu, "Max": op.maximum, "Min": op.minimum,
    "Sigmoid": op.sigmoid, "Tanh": op.tanh, "Abs": op.abs, "HardSwish": op.hswish, "PRelu": op.prelu,
}  # fmt: skip


class OpenVino:
    """A graph of opset13 nodes."""

    def __init__(self) -> None:
        """Without a node yet."""
        self.kept: list[Any] = []  # OpenVINO's constants share the memory of these arrays

    def constant(self, array: Array) -> Any:
        """A constant."""
        self.kept.append(np.ascontiguousarray(array))
        return op.constant(self.kept[-1])

    def op(self, kind: str, *values: Any, **a: Any) -> Any:
        """An operator by its ONNX name."""
        if kind in SIMPLE:
            if kind == "PRelu":
                return op.prelu(values[0], op.reshape(values[1], np.array([-1]), False))
            return SIMPLE[kind](*values)
        if kind == "Conv":
            return self._conv(*values, **a)
        if kind == "MatMul":
            return op.matmul(values[0], values[1], False, False)
        if kind == "Reshape":
            return op.reshape(values[0], np.array(a["shape"], np.int64), False)
        if kind == "Transpose":
            return op.transpose(values[0], np.array(a["perm"], np.int64))
        if kind == "Concat":
            return op.concat(list(values), a["axis"])
        if kind == "Slice":
            ends = [np.array([a[n]], np.int64) for n in ("start", "stop")]
            return op.slice(values[0], ends[0], ends[1], np.array([1], np.int64), np.array([a["axis"]], np.int64))
        if kind == "Softmax":
            return op.softmax(values[0], a["axis"])
        if kind == "Gelu":
            return op.gelu(values[0], "ERF")
        if kind == "GlobalAveragePool":
            return op.reduce_mean(values[0], np.array([2, 3], np.int64), True)
        if kind == "Pad":
            begin, end = np.array(a["pads"][:4], np.int64), np.array(a["pads"][4:], np.int64)
            return op.pad(values[0], begin, end, "constant", np.float32(a["value"]))
        begin, end = a["pads"][:2], a["pads"][2:]
        if kind == "MaxPool":
            return op.max_pool(values[0], a["strides"], [1, 1], begin, end, a["kernel_shape"]).output(0)
        if kind == "AveragePool":
            left_out = not a["count_include_pad"]
            return op.avg_pool(values[0], a["strides"], begin, end, a["kernel_shape"], left_out)
        raise NotImplementedError(kind)

    def _conv(
        self, x: Any, weight: Any, bias: Any = None, *, strides: Any, dilations: Any, group: int, pads: Any
    ) -> Any:
        if group == 1:
            y = op.convolution(x, weight, strides, pads[:2], pads[2:], dilations)
        else:
            o, i, h, w = weight.get_output_shape(0)
            grouped = op.reshape(weight, np.array([group, o // group, i, h, w], np.int64), False)
            y = op.group_convolution(x, grouped, strides, pads[:2], pads[2:], dilations)
        return y if bias is None else op.add(y, op.reshape(bias, np.array([1, -1, 1, 1], np.int64), False))

    def sign(self, x: Any, threshold: Array, flip: Array) -> Any:
        """Two levels over [t - 1, t + 1], which meet at t; the engine's compare is >."""
        level = threshold.astype(np.float32)
        low, high = np.where(flip, 1, -1).astype(np.float32), np.where(flip, -1, 1).astype(np.float32)
        if not flip.any():
            low, high = (np.full([1] * level.ndim, v, np.float32) for v in (-1, 1))
        return op.fake_quantize(x, *(self.constant(v) for v in (level - 1, level + 1, low, high)), 2)

    def binary_conv(self, x: Any, weight: Array, pad_value: int, attributes: dict[str, Any]) -> Any:
        """BinaryConvolution, or a float one where that is wrong or missing."""
        channels = weight.shape[1]
        strides, pads, dilations = attributes["strides"], attributes["pads"], attributes["dilations"]
        if attributes["group"] > 1 or channels % 8:
            if pad_value and any(pads):
                top, left, bottom, right = pads
                x = self.op("Pad", x, pads=[0, 0, top, left, 0, 0, bottom, right], value=float(pad_value))
                pads = [0, 0, 0, 0]
            return self._conv(x, self.constant(weight), strides=strides, dilations=dilations,
                              group=attributes["group"], pads=pads)  # fmt: skip
        packed = np.packbits(weight.ravel() > 0, bitorder="little")
        self.kept.append(packed)
        tensor = ov.Tensor(packed, ov.Shape(list(weight.shape)), ov.Type.u1)
        return op.binary_convolution(
            x, op.constant(tensor), strides, pads[:2], pads[2:], dilations, "xnor-popcount", float(pad_value)
        )


def session(model: Model, threads: int) -> tuple[Callable[[Array], Array], str]:
    """A function from one image (1, C, H, W) to the first output, and the kinds of 1-bit kernels that it chose."""
    engine = OpenVino()
    spec = model.inputs[0]
    height, width, channels = spec.shape
    parameter = op.parameter([1, channels, height, width], np.float32)
    outputs = Translator(model, engine).run({spec.name: parameter})
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = ov.Core().compile_model(ov.Model(outputs[:1], [parameter]), "CPU", settings)
    request = compiled.create_infer_request()
    infos = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
    kinds = {i["primitiveType"].astype(str) for i in infos if i["layerType"].astype(str) == "BinaryConvolution"}
    request.kept = engine.kept
    return lambda x: next(iter(request.infer([x], share_inputs=True).values())), ", ".join(sorted(kinds))
