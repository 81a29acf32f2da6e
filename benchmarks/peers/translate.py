"""A bnnengine Model, optimized, said once more in the words of another engine.

Other engines take images as (channels, height, width), so 4-D values go through as NCHW; a Flatten brings them back to
our order first. A binary layer becomes what its engine has: a 1-bit convolution, or a float one whose weights are +1
and -1 behind a sign.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

import bnnengine as b
from bnnengine.layers.unary import UNARY, Unary

Array = np.ndarray[Any, Any]


class Engine(Protocol):
    """What a peer must be able to say; a value is whatever the engine has for it."""

    def constant(self, array: Array) -> Any:
        """A constant."""

    def op(self, kind: str, *values: Any, **attributes: Any) -> Any:
        """An operator, by its ONNX name and attributes."""

    def sign(self, x: Any, threshold: Array, flip: Array) -> Any:
        """+1 where x is at or above the threshold, or below it where flip is set; else -1. Both broadcast to x."""

    def binary_conv(self, x: Any, weight: Array, pad_value: int, attributes: dict[str, Any]) -> Any:
        """Sums of +1 and -1."""


def _channels(values: Array, rank: int) -> Array:
    """One number a channel, in a shape that goes with a value of this rank (with the batch)."""
    return values.reshape(1, -1, 1, 1) if rank == 4 else values.reshape(*[1] * (rank - 1), -1)


class Translator:
    """Walks a model's layers, one method a kind."""

    def __init__(self, model: b.Model, engine: Engine) -> None:
        """Nothing is said yet."""
        self.model, self.engine = model.optimize(), engine
        self.values: dict[str, Any] = {}

    def run(self, inputs: dict[str, Any]) -> list[Any]:
        """The outputs, from the inputs."""
        self.values.update(inputs)
        for node in self.model.nodes:
            handler = self._handler(type(node.layer))
            args = [self.values[name] for name in node.inputs]
            specs = [self.model.values[name] for name in node.inputs]
            made = handler(node.layer, args, specs)
            self.values.update(zip(node.outputs, made if len(node.outputs) > 1 else [made], strict=True))
        return [self.values[name] for name in self.model.outputs]

    def _handler(self, kind: type[b.Layer]) -> Callable[..., Any]:
        for base in kind.__mro__:
            found = getattr(self, f"_do_{base.__name__.lower()}", None)
            if found:
                return found  # type: ignore[no-any-return]
        raise NotImplementedError(f"{kind.__name__} has no translation")

    def _affine(self, x: Any, rank: int, scale: Array | None, bias: Array | None) -> Any:
        if scale is not None and not (scale == 1).all():
            x = self.engine.op("Mul", x, self.engine.constant(_channels(np.float32(scale), rank)))
        if bias is not None and bias.any():
            x = self.engine.op("Add", x, self.engine.constant(_channels(np.float32(bias), rank)))
        return x

    def _finish(self, layer: Any, x: Any, rank: int, exact: bool) -> Any:
        """A sum's threshold; that of an exact sum is put between two whole numbers, so that > is as good as >=."""
        t = layer.threshold
        if t is None:
            return x
        value = t.value.astype(np.float64)
        if exact:
            value = np.where(t.flip, value + 0.5, value - 0.5)
        value = np.clip(value, -1e9, 1e9)
        return self.engine.sign(x, _channels(np.float32(value), rank), _channels(t.flip, rank))

    def _do_binarize(self, layer: b.Binarize, args: list[Any], specs: list[b.TensorSpec]) -> Any:
        rank, channels = len(specs[0].shape) + 1, specs[0].shape[-1]
        whole = layer.for_channels(channels)
        value = np.clip(whole.threshold, -1e9, 1e9)
        return self.engine.sign(args[0], _channels(value, rank), _channels(whole.flip, rank))

    def _do__conv2d(self, layer: Any, args: list[Any], specs: list[b.TensorSpec]) -> Any:
        (top, bottom), (left, right) = layer.padding
        binary, bits = layer.is_binary, specs[0].dtype == "bits"
        weight = (layer.weight.unpack() if binary else layer.weight).astype(np.float32).transpose(0, 3, 1, 2)
        attributes = {"strides": list(layer.strides), "dilations": list(layer.dilation), "group": layer.groups}
        pads = [top, left, bottom, right]
        x = args[0]
        if binary and bits:
            # bits that count as 0 and 1: half of what +1 and -1 sum to, and half of the weights' sum; a 0 is a -1 there
            pad_value = -1 if layer.zero_one and layer.pad_value == 0 else layer.pad_value
            x = self.engine.binary_conv(x, weight, pad_value, {**attributes, "pads": pads})
            if layer.zero_one:
                x = self._affine(x, 4, np.full(len(weight), 0.5), weight.sum(axis=(1, 2, 3)) / 2)
            x = self._affine(x, 4, layer.scale, layer.bias)
            return self._finish(layer, x, 4, True)
        if layer.pad_value and any(pads):
            x = self.engine.op("Pad", x, pads=[0, 0, top, left, 0, 0, bottom, right], value=float(layer.pad_value))
            pads = [0, 0, 0, 0]
        if layer.scale is not None:
            weight = weight * layer.scale[:, None, None, None]
        inputs = [x, self.engine.constant(np.float32(weight))]
        if layer.bias is not None:
            inputs.append(self.engine.constant(layer.bias))
        x = self.engine.op("Conv", *inputs, **attributes, pads=pads)
        return self._finish(layer, x, 4, layer.exact(specs[0].dtype))

    def _do__dense(self, layer: Any, args: list[Any], specs: list[b.TensorSpec]) -> Any:
        weight = (layer.weight.unpack() if layer.is_binary else layer.weight).astype(np.float32)
        zeros = weight.sum(axis=1) / 2 if layer.zero_one else None
        weight = weight / 2 if layer.zero_one else weight
        x = self.engine.op("MatMul", args[0], self.engine.constant(np.ascontiguousarray(weight.T)))
        x = self._affine(self._affine(x, 2, None, zeros), 2, layer.scale, layer.bias)
        return self._finish(layer, x, 2, layer.exact(specs[0].dtype))

    def _do_maxpool2d(self, layer: b.MaxPool2d, args: list[Any], specs: list[b.TensorSpec]) -> Any:
        (top, bottom), (left, right) = layer.padding
        attributes = {"kernel_shape": list(layer.kernel), "strides": list(layer.strides)}
        x = self.engine.op("MaxPool", args[0], **attributes, pads=[top, left, bottom, right])
        if layer.flip is None:
            return x
        return self._affine(x, 4, np.where(np.broadcast_to(layer.flip, specs[0].shape[-1:]), -1.0, 1.0), None)

    def _do_averagepool2d(self, layer: b.AveragePool2d, args: list[Any], specs: list[b.TensorSpec]) -> Any:
        (top, bottom), (left, right) = layer.padding
        return self.engine.op(
            "AveragePool", args[0], kernel_shape=list(layer.kernel), strides=list(layer.strides),
            pads=[top, left, bottom, right], count_include_pad=int(layer.count_include_pad),
        )  # fmt: skip

    def _do_globalaveragepool(self, layer: b.Layer, args: list[Any], specs: list[b.TensorSpec]) -> Any:
        return self.engine.op("Reshape", self.engine.op("GlobalAveragePool", args[0]), shape=[1, -1])

    def _do_flatten(self, layer: b.Layer, args: list[Any], specs: list[b.TensorSpec]) -> Any:
        x = self.engine.op("Transpose", args[0], perm=[0, 2, 3, 1]) if len(specs[0].shape) == 3 else args[0]
        return self.engine.op("Reshape", x, shape=[1, -1])

    def _do_reshape(self, layer: b.Reshape, args: list[Any], specs: list[b.TensorSpec]) -> Any:
        x = self.engine.op("Transpose", args[0], perm=[0, 2, 3, 1]) if len(specs[0].shape) == 3 else args[0]
        x = self.engine.op("Reshape", x, shape=[1, *layer.shape])
        return self.engine.op("Transpose", x, perm=[0, 3, 1, 2]) if len(layer.shape) == 3 else x

    def _do_scalebias(self, layer: b.ScaleBias, args: list[Any], specs: list[b.TensorSpec]) -> Any:
        whole = layer.for_channels(specs[0].shape[-1])
        return self._affine(args[0], len(specs[0].shape) + 1, whole.scale, whole.bias)

    def _do_prelu(self, layer: b.PReLU, args: list[Any], specs: list[b.TensorSpec]) -> Any:
        rank, whole = len(specs[0].shape) + 1, layer.for_channels(specs[0].shape[-1])
        x = args[0]
        if whole.shift_in is not None:
            x = self._affine(x, rank, None, -whole.shift_in)
        slope = _channels(whole.slope, rank)[0] if rank == 4 else whole.slope
        x = self.engine.op("PRelu", x, self.engine.constant(np.float32(slope)))
        return x if whole.shift_out is None else self._affine(x, rank, None, whole.shift_out)

    def _do_clip(self, layer: b.Clip, args: list[Any], specs: list[b.TensorSpec]) -> Any:
        rank, whole = len(specs[0].shape) + 1, layer.for_channels(specs[0].shape[-1])
        if layer.high is None and not whole.low.any():
            return self.engine.op("Relu", args[0])
        x = args[0]
        if whole.low is not None:
            x = self.engine.op("Max", x, self.engine.constant(_channels(whole.low, rank)))
        if whole.high is not None:
            x = self.engine.op("Min", x, self.engine.constant(_channels(whole.high, rank)))
        return x

    def _do_unary(self, layer: Unary, args: list[Any], specs: list[b.TensorSpec]) -> Any:
        assert isinstance(layer, UNARY)
        x = args[0]
        if isinstance(layer, b.SiLU):
            return self.engine.op("Mul", x, self.engine.op("Sigmoid", x))
        return self.engine.op(type(layer).__name__ if not isinstance(layer, b.GELU) else "Gelu", x)

    def _do_merge(self, layer: b.Layer, args: list[Any], specs: list[b.TensorSpec]) -> Any:
        names = {b.Add: "Add", b.Subtract: "Sub", b.Multiply: "Mul"}
        x, y = args
        if len(specs[0].shape) == 3 and len(specs[1].shape) == 1:
            y = self.engine.op("Reshape", y, shape=[1, -1, 1, 1])
        return self.engine.op(names[type(layer)], x, y)

    def _do_concat(self, layer: b.Concat, args: list[Any], specs: list[b.TensorSpec]) -> Any:
        return self.engine.op("Concat", *args, axis=self._axis(layer.axis, specs[0]))

    def _do_slice(self, layer: b.Slice, args: list[Any], specs: list[b.TensorSpec]) -> Any:
        return self.engine.op(
            "Slice", args[0], start=layer.start, stop=layer.stop, axis=self._axis(layer.axis, specs[0])
        )

    def _axis(self, axis: int, spec: b.TensorSpec) -> int:
        rank = len(spec.shape)
        axis %= rank
        return [2, 3, 1][axis] if rank == 3 else axis + 1

    def _do_pad(self, layer: b.Pad, args: list[Any], specs: list[b.TensorSpec]) -> Any:
        (top, bottom), (left, right) = layer.padding
        return self.engine.op("Pad", args[0], pads=[0, 0, top, left, 0, 0, bottom, right], value=float(layer.value))

    def _do_softmax(self, layer: b.Layer, args: list[Any], specs: list[b.TensorSpec]) -> Any:
        return self.engine.op("Softmax", args[0], axis=1)
