"""Signs, and the layers that sum products: binary where both sides are."""

from __future__ import annotations

from typing import Any

import numpy as np

import bnnengine as b
from bnnengine.convert.emit_base import Base
from bnnengine.convert.ir import Array, Op
from bnnengine.convert.reading import pads_of
from bnnengine.errors import ConvertError
from bnnengine.graph import Value

NEAR = 1e-5  # relative: weights of one output that differ by less have one magnitude


def binary_weights(weight: Array) -> Array | None:
    """The magnitude of each output, shape (outputs,), where its weights have one; None where some have more."""
    flat = np.abs(weight.reshape(weight.shape[0], -1)).astype(np.float64)
    magnitude = flat.mean(axis=1)
    alike = np.abs(flat - magnitude[:, None]) <= NEAR * magnitude[:, None]
    return magnitude if bool(alike.all() and (magnitude > 0).all()) else None


class Sums(Base):
    """Emits them, one method a kind."""

    def _do_sign(self, op: Op) -> Value:
        value = self._value(op)
        if value.dtype == "bits" and value.name not in self.steps:
            return value
        return self.graph(b.Sign(), self._float(value))

    def _do_binarize(self, op: Op) -> Value:
        value, level = self._float(self._value(op)), self._constant(op, 1)
        assert level is not None
        if op.attributes.get("per_channel") and len(value.shape) not in (1, 3):
            raise ConvertError(f"a level a channel of {len(value.shape)} axes without the batch, wanted 1 or 3")
        flat = level.reshape(-1) if op.attributes.get("per_channel") else self._vector(level, value)
        return self.graph(b.Binarize(flat), value)

    def _do_step(self, op: Op) -> Value:
        bits = self._do_binarize(op)
        self.steps.add(bits.name)
        return bits

    def _do_bipolarquant(self, op: Op) -> Value:
        value, scale = self._float(self._value(op)), self._constant(op, 1)
        if scale is None or (scale <= 0).any():
            raise ConvertError("scale: wanted a constant above 0")
        bits = self.graph(b.Sign(), value)
        return bits if (scale == 1).all() else self.graph(b.ScaleBias(self._vector(scale, value)), bits)

    def _do_quant(self, op: Op) -> Value:
        bits = self.net.constants.get(op.inputs[3], np.zeros(0))
        raise ConvertError(
            f"activations of {', '.join(f'{b:g}' for b in np.unique(bits)) or 'unknown'} bits: the engine runs one-bit "
            "activations (BipolarQuant, or an unsigned Quant of 1 bit): retrain or export with 1-bit quantizers"
        )

    def _do_multithreshold(self, op: Op) -> Value:
        levels = self.net.constants.get(op.inputs[1], np.zeros((0, 0)))
        raise ConvertError(
            f"thresholds: got {levels.shape[-1]} of a channel, wanted 1: the engine runs one-bit activations: retrain "
            "or export with 1-bit quantizers"
        )

    def _sum(self, weight: Array, bias: Array | None, kinds: tuple[Any, Any], value: Value, **fields: Any) -> Value:
        magnitude, step = binary_weights(weight), value.name in self.steps
        if magnitude is None:
            value = self._float(value) if step else value
            return self.graph(kinds[1](weight, bias=bias, **fields), value)
        scale = None if np.allclose(magnitude, 1, rtol=NEAR, atol=0) else magnitude
        fields = {**fields, "zero_one": True} if step else fields
        return self.graph(kinds[0](weight > 0, scale=scale, bias=bias, **fields), value)

    def _do_conv(self, op: Op) -> Value:
        value, weight, bias = self._value(op), self._constant(op, 1), self._constant(op, 2)
        if weight is None or weight.ndim != 4:
            raise ConvertError("weight: wanted a constant (O, I, KH, KW)")
        height, width, _ = value.shape
        top, left, bottom, right = pads_of(op.attributes, (height, width), weight.shape[2:])
        fields = {
            "strides": tuple(op.attributes.get("strides", (1, 1))),
            "dilation": tuple(op.attributes.get("dilations", (1, 1))),
            "groups": int(op.attributes.get("group", 1)),
            "padding": ((top, bottom), (left, right)),
            "pad_value": int(op.attributes.get("pad_value", 0)),
        }
        kinds = (b.BinaryConv2d, b.Conv2d)
        return self._sum(np.ascontiguousarray(weight.transpose(0, 2, 3, 1)), bias, kinds, value, **fields)

    def _do_matmul(self, op: Op) -> Value:
        weight = self._constant(op, 1)
        if weight is None or weight.ndim != 2:
            raise ConvertError("weight: wanted a constant (K, O)")
        return self._sum(np.ascontiguousarray(weight.T), None, (b.BinaryDense, b.Dense), self._value(op))

    def _do_xnorpopcountmatmul(self, op: Op) -> Value:
        """FINN's: both sides 0 and 1, each pair of equal ones counts."""
        value, weight = self._value(op), self._constant(op, 1)
        if weight is None or weight.ndim != 2 or not np.isin(weight, (0, 1)).all() or value.name not in self.steps:
            raise ConvertError("wanted steps of 0 and 1, and constant weights of 0 and 1, (K, O)")
        half = weight.shape[0] / 2
        return self.graph(b.BinaryDense(weight.T > 0, scale=0.5, bias=half), value)

    def _do_gemm(self, op: Op) -> Value:
        weight, bias = self._constant(op, 1), self._constant(op, 2)
        if weight is None or op.attributes.get("transA"):
            raise ConvertError("weight: wanted a constant, and transA 0")
        weight = (weight if op.attributes.get("transB") else weight.T) * np.float32(op.attributes.get("alpha", 1.0))
        value = self._value(op)
        if bias is not None:
            bias = bias.reshape(-1) if bias.shape[:-1] == (1,) else bias
            bias = np.broadcast_to(bias * np.float32(op.attributes.get("beta", 1.0)), (weight.shape[0],))
        return self._sum(np.ascontiguousarray(weight), bias, (b.BinaryDense, b.Dense), value)
