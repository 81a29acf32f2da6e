"""A plain foreign graph as a Model: images channels-last, and layers binary where both sides of a product are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import bnnengine as b
from bnnengine.convert.ir import Array, Net, Op, _pads
from bnnengine.errors import ConvertError, ModelError
from bnnengine.graph import Graph, Value

NEAR = 1e-5  # relative: weights of one output that differ by less have one magnitude


def binary_weights(weight: Array) -> Array | None:
    """The magnitude of each output, shape (outputs,), where its weights have one; None where some have more."""
    flat = np.abs(weight.reshape(weight.shape[0], -1)).astype(np.float64)
    magnitude = flat.mean(axis=1)
    alike = np.abs(flat - magnitude[:, None]) <= NEAR * magnitude[:, None]
    return magnitude if bool(alike.all() and (magnitude > 0).all()) else None


class Emitter:
    """Walks a net's operators, one method a kind, and collects what cannot be taken."""

    def __init__(self, net: Net, name: str) -> None:
        """Nothing is emitted yet."""
        self.net, self.graph = net, Graph(name)
        self.values: dict[str, Value] = {}
        self.refused: list[str] = []

    def run(self) -> b.Model:
        """The model.

        Raises:
            ConvertError: some operators cannot be taken; each is named with the reason.
        """
        for name, shape in self.net.inputs.items():
            if len(shape) not in (2, 4) or any(n < 1 for n in shape[1:]):
                raise ConvertError(
                    f"input {name!r}: shape: got {shape}, wanted (N, K) or (N, C, H, W) with sizes from 1"
                )
            ours = shape[1:] if len(shape) == 2 else (*shape[2:], shape[1])
            self.values[name] = self.graph.input(ours, "float32", name=name)
        for op in self.net.ops:
            self._take(op)
        if self.refused:
            raise ConvertError("; ".join(self.refused))
        missing = [name for name in self.net.outputs if name not in self.values]
        if missing:
            raise ConvertError(f"outputs {missing}: constant, or made by nothing")
        return self.graph.model(*(self._float(self.values[name]) for name in self.net.outputs))

    def _take(self, op: Op) -> None:
        handler: Callable[[Op], Value] | None = getattr(self, f"_do_{op.kind.lower()}", None)
        label = f"node {op.name or op.outputs[0]!r} ({op.kind})"
        if any(name and name not in self.values and name not in self.net.constants for name in op.inputs):
            return  # behind one that is refused, which is named already
        if handler is None:
            self.refused.append(f"{label}: there is no layer for this operator")
            return
        try:
            self.values[op.outputs[0]] = handler(op)
        except (ConvertError, ModelError) as error:
            self.refused.append(f"{label}: {error}")
        except (ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
            self.refused.append(f"{label}: its form is not known: {error}")

    # ---- operands ----

    def _value(self, op: Op, i: int = 0) -> Value:
        if op.inputs[i] not in self.values:
            raise ConvertError(f"input {i}: a constant, wanted a value")
        return self.values[op.inputs[i]]

    def _constant(self, op: Op, i: int) -> Array | None:
        if len(op.inputs) <= i or not op.inputs[i]:
            return None
        if op.inputs[i] not in self.net.constants:
            raise ConvertError(f"input {i}: computed at run time, wanted a constant")
        return self.net.constants[op.inputs[i]]

    def _vector(self, constant: Array, value: Value) -> Array:
        """A constant operand as a number or one a channel."""
        channels = value.shape[-1]
        for axis in range(constant.ndim):  # exporters write broadcasts out
            first = constant.take([0], axis)
            if constant.shape[axis] > 1 and (constant == first).all():
                constant = first
        if constant.size == 1:
            return constant.reshape(())
        where = constant.ndim - 3 if len(value.shape) == 3 else constant.ndim - 1
        if constant.size != channels or where < 0 or constant.shape[where] != channels:
            raise ConvertError(f"constant of shape {constant.shape}: wanted one number, or one a channel ({channels})")
        return constant.reshape(-1)

    def _float(self, value: Value) -> Value:
        return self.graph(b.ScaleBias(), value) if value.dtype == "bits" else value

    # ---- signs ----

    def _do_sign(self, op: Op) -> Value:
        value = self._value(op)
        return value if value.dtype == "bits" else self.graph(b.Sign(), value)

    def _do_binarize(self, op: Op) -> Value:
        value, level = self._value(op), self._constant(op, 1)
        assert level is not None
        return self.graph(b.Binarize(self._vector(level, value)), value)

    def _do_bipolarquant(self, op: Op) -> Value:
        value, scale = self._value(op), self._constant(op, 1)
        if scale is None or (scale <= 0).any():
            raise ConvertError("scale: wanted a constant above 0")
        bits = self.graph(b.Sign(), value)
        return bits if (scale == 1).all() else self.graph(b.ScaleBias(self._vector(scale, value)), bits)

    # ---- sums ----

    def _sum(self, weight: Array, bias: Array | None, kinds: tuple[Any, Any], value: Value, **fields: Any) -> Value:
        magnitude = binary_weights(weight)
        if magnitude is None:
            return self.graph(kinds[1](weight, bias=bias, **fields), value)
        scale = None if np.allclose(magnitude, 1, rtol=NEAR, atol=0) else magnitude
        return self.graph(kinds[0](weight > 0, scale=scale, bias=bias, **fields), value)

    def _do_conv(self, op: Op) -> Value:
        value, weight, bias = self._value(op), self._constant(op, 1), self._constant(op, 2)
        if weight is None or weight.ndim != 4:
            raise ConvertError("weight: wanted a constant (O, I, KH, KW)")
        height, width, _ = value.shape
        top, left, bottom, right = _pads(op.attributes, (height, width), weight.shape[2:])
        fields = {
            "strides": tuple(op.attributes.get("strides", (1, 1))),
            "dilation": tuple(op.attributes.get("dilations", (1, 1))),
            "groups": int(op.attributes.get("group", 1)),
            "padding": ((top, bottom), (left, right)),
        }
        kinds = (b.BinaryConv2d, b.Conv2d)
        return self._sum(np.ascontiguousarray(weight.transpose(0, 2, 3, 1)), bias, kinds, value, **fields)

    def _do_matmul(self, op: Op) -> Value:
        weight = self._constant(op, 1)
        if weight is None or weight.ndim != 2:
            raise ConvertError("weight: wanted a constant (K, O)")
        return self._sum(np.ascontiguousarray(weight.T), None, (b.BinaryDense, b.Dense), self._value(op))

    def _do_gemm(self, op: Op) -> Value:
        weight, bias = self._constant(op, 1), self._constant(op, 2)
        if weight is None or op.attributes.get("transA"):
            raise ConvertError("weight: wanted a constant, and transA 0")
        weight = (weight if op.attributes.get("transB") else weight.T) * np.float32(op.attributes.get("alpha", 1.0))
        value = self._value(op)
        if bias is not None:
            bias = np.broadcast_to(bias * np.float32(op.attributes.get("beta", 1.0)), (weight.shape[0],))
        return self._sum(np.ascontiguousarray(weight), bias, (b.BinaryDense, b.Dense), value)

    # ---- arithmetic ----

    def _do_batchnormalization(self, op: Op) -> Value:
        gamma, beta, mean, variance = (self._constant(op, i) for i in (1, 2, 3, 4))
        layer = b.BatchNorm(gamma, beta, mean, variance, op.attributes.get("epsilon", 1e-5))
        return self.graph(layer, self._value(op))

    def _merge(self, op: Op, layer: b.Layer, constant: Callable[[Value, Array, bool], Value]) -> Value:
        names = op.inputs
        if all(name in self.values for name in names):
            first, second = (self._float(self.values[name]) for name in names)
            if isinstance(layer, (b.Add, b.Multiply)) and np.prod(second.shape) > np.prod(first.shape):
                first, second = second, first
            return self.graph(layer, first, second)
        at = 0 if names[0] in self.values else 1
        value = self._float(self.values[names[at]])
        return constant(value, self._vector(self.net.constants[names[1 - at]], value), at == 0)

    def _do_add(self, op: Op) -> Value:
        return self._merge(op, b.Add(), lambda v, c, _: v + c)

    def _do_sub(self, op: Op) -> Value:
        return self._merge(op, b.Subtract(), lambda v, c, first: v - c if first else c - v)

    def _do_mul(self, op: Op) -> Value:
        return self._merge(op, b.Multiply(), lambda v, c, _: v * c)

    def _do_div(self, op: Op) -> Value:
        value, by = self._float(self._value(op)), self._constant(op, 1)
        assert by is not None
        return value * (1 / self._vector(by, value).astype(np.float64))

    def _do_neg(self, op: Op) -> Value:
        return self._float(self._value(op)) * -1.0

    # ---- functions, pools, shapes ----

    def _on_floats(self, layer: b.Layer, op: Op) -> Value:
        return self.graph(layer, self._float(self._value(op)))

    def _do_relu(self, op: Op) -> Value:
        return self._on_floats(b.ReLU(), op)

    def _do_leakyrelu(self, op: Op) -> Value:
        return self._on_floats(b.LeakyReLU(op.attributes.get("alpha", 0.01)), op)

    def _do_prelu(self, op: Op) -> Value:
        slope, value = self._constant(op, 1), self._value(op)
        assert slope is not None
        return self._on_floats(b.PReLU(self._vector(slope, value)), op)

    def _do_clip(self, op: Op) -> Value:
        low, high = self._constant(op, 1), self._constant(op, 2)
        low, high = op.attributes.get("min", low), op.attributes.get("max", high)
        return self._on_floats(b.Clip(low, high), op)

    def _do_sigmoid(self, op: Op) -> Value:
        return self._on_floats(b.Sigmoid(), op)

    def _do_tanh(self, op: Op) -> Value:
        return self._on_floats(b.Tanh(), op)

    def _do_abs(self, op: Op) -> Value:
        return self._on_floats(b.Abs(), op)

    def _do_softmax(self, op: Op) -> Value:
        value = self._float(self._value(op))
        if len(value.shape) != 1 or op.attributes.get("axis", -1) not in (-1, 1):
            raise ConvertError("axis: wanted the last one of (N, C)")
        return self.graph(b.Softmax(), value)

    def _pool(self, op: Op, kind: Any, **fields: Any) -> Value:
        value = self._value(op)
        kernel = tuple(op.attributes["kernel_shape"])
        top, left, bottom, right = _pads(op.attributes, value.shape[:2], kernel)
        strides = tuple(op.attributes.get("strides", (1, 1)))
        if op.attributes.get("ceil_mode"):
            raise ConvertError("ceil_mode: 1 is not taken; export with ceil_mode=False")
        return self.graph(kind(kernel, strides, ((top, bottom), (left, right)), **fields), value)

    def _do_pad(self, op: Op) -> Value:
        given, value = self._constant(op, 1), self._constant(op, 2)
        pads = [int(n) for n in (op.attributes["pads"] if given is None else given)]
        if len(pads) != 8 or any(pads[i] for i in (0, 1, 4, 5)) or min(pads) < 0:
            raise ConvertError(f"pads: got {pads}, wanted height and width of an image, from 0")
        fill = float(op.attributes.get("value", 0.0) if value is None else value.reshape(-1)[0])
        sides = ((pads[2], pads[6]), (pads[3], pads[7]))
        return self.graph(b.Pad(sides, fill), self._value(op))

    def _do_maxpool(self, op: Op) -> Value:
        return self._pool(op, b.MaxPool2d)

    def _do_averagepool(self, op: Op) -> Value:
        return self._pool(op, b.AveragePool2d, count_include_pad=bool(op.attributes.get("count_include_pad", 0)))

    def _do_globalaveragepool(self, op: Op) -> Value:
        pooled = self.graph(b.GlobalAveragePool(), self._value(op))
        return self.graph(b.Reshape((1, 1, pooled.shape[0])), pooled)

    def _do_reducemean(self, op: Op) -> Value:
        given: Any = op.attributes.get("axes")
        given = self._constant(op, 1) if given is None else given
        axes = [int(n) for n in np.atleast_1d(given)]
        value = self._value(op)
        if len(value.shape) != 3 or sorted(n % 4 for n in axes) != [2, 3]:
            raise ConvertError(f"axes: got {axes}, wanted height and width of an image")
        pooled = self.graph(b.GlobalAveragePool(), value)
        return self.graph(b.Reshape((1, 1, pooled.shape[0])), pooled) if op.attributes.get("keepdims", 1) else pooled

    def _flat(self, value: Value) -> Value:
        """A vector in the order of channels-first."""
        if len(value.shape) == 3:
            if value.shape[0] * value.shape[1] > 1 and value.shape[2] > 1:
                value = self.graph(b.Transpose((2, 0, 1)), value)
            value = self.graph(b.Flatten(), value)
        return value

    def _do_flatten(self, op: Op) -> Value:
        if op.attributes.get("axis", 1) != 1:
            raise ConvertError(f"axis: got {op.attributes['axis']}, wanted 1")
        return self._flat(self._value(op))

    def _do_reshape(self, op: Op) -> Value:
        shape, value = self._constant(op, 1), self._value(op)
        wanted = [int(n) for n in shape] if shape is not None else []
        count = int(np.prod(value.shape))
        if len(wanted) == 2 and wanted[1] in (-1, count):
            return self._flat(value)
        if len(wanted) == 4 and wanted[2:] == [1, 1] and wanted[1] in (-1, count):
            return self.graph(b.Reshape((1, 1, count)), self._flat(value))
        raise ConvertError(f"shape: got {wanted}, wanted (N, {count}): only flattening is taken")

    def _do_squeeze(self, op: Op) -> Value:
        value = self._value(op)
        if len(value.shape) == 3 and value.shape[:2] == (1, 1):
            return self._flat(value)
        raise ConvertError("wanted an image of one pixel")

    def _do_unsqueeze(self, op: Op) -> Value:
        given: Any = op.attributes.get("axes")
        axes = [int(n) for n in np.atleast_1d(self._constant(op, 1) if given is None else given)]  # type: ignore[arg-type]
        value = self._value(op)
        if min(axes) < 2:
            raise ConvertError(f"axes: got {axes}, wanted height and width behind the channels")
        return self.graph(b.Reshape((1, 1, value.shape[0])), value) if len(value.shape) == 1 else value

    def _do_concat(self, op: Op) -> Value:
        values = [self._value(op, i) for i in range(len(op.inputs))]
        if op.attributes["axis"] not in (1, 1 - 1 - len(values[0].shape)):
            raise ConvertError(f"axis: got {op.attributes['axis']}, wanted channels")
        if len({value.dtype for value in values}) > 1:
            values = [self._float(value) for value in values]
        return self.graph(b.Concat(), *values)
