"""Two-dimensional convolution with binary or with real weights.

y[n, oy, ox, o] = sum over i, j, c of x[n, oy * stride + i * dilation - pad, ..., c] * w[o, i, j, c], as ONNX Conv and
torch.nn.Conv2d have it, with the channels last. XNOR-Net (arXiv:1603.05279) computes it on bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bnnengine.bits import BitTensor
from bnnengine.layers.base import Array, Spec, Tensors, bad, expect
from bnnengine.layers.output import BinaryWeights, RealWeights, Sum, Threshold
from bnnengine.layers.window import Window, padding_pairs, pair

_PAD_CODES = {0: 0, 1: 1, -1: 2}


@dataclass(frozen=True, eq=False)
class _Conv2d(Sum):
    weight: Any
    strides: Any = 1
    padding: Any = 0
    pad_value: int = 0
    dilation: Any = 1
    groups: int = 1
    threshold: Threshold | None = None
    scale: Any = None
    bias: Any = None
    name: str | None = None

    def __post_init__(self) -> None:
        """Brings the weights into form and checks every field."""
        kind = type(self).__name__
        object.__setattr__(self, "weight", self.take_weight(self.weight))
        if len(self.weight.shape) != 4:
            raise bad(
                kind, "weight", f"shape {self.weight.shape}", "shape (outputs, kernel_h, kernel_w, channels / groups)"
            )
        pair(kind, "weight, its kernel", self.weight.shape[1:3])
        object.__setattr__(self, "strides", pair(kind, "strides", self.strides))
        object.__setattr__(self, "dilation", pair(kind, "dilation", self.dilation))
        object.__setattr__(self, "padding", padding_pairs(kind, self.padding))
        if not isinstance(self.pad_value, (int, np.integer)) or self.pad_value not in _PAD_CODES:
            raise bad(kind, "pad_value", self.pad_value, "0, +1 or -1")
        if not isinstance(self.groups, (int, np.integer)) or self.groups < 1 or self.outputs % self.groups:
            raise bad(kind, "groups", self.groups, f"a divisor of the {self.outputs} output channels")
        self.settle_output()

    @property
    def window(self) -> Window:
        """Kernel, strides, dilation and padding."""
        return Window(self.weight.shape[1:3], self.strides, self.dilation, self.padding)

    def output_spec(self, spec: Spec) -> Spec:
        """Image (H, W, C) to (OH, OW, O), bits or float32."""
        kind = type(self).__name__
        expect(self, spec, ("bits", "uint8", "float32"), 3)
        dtype, (height, width, channels) = spec
        if channels != self.weight.shape[3] * self.groups:
            raise bad(
                kind,
                "input channels",
                channels,
                f"{self.weight.shape[3] * self.groups} (weight's {self.weight.shape[3]} x {self.groups} groups)",
            )
        if dtype == "uint8" and self.pad_value != 0:
            raise bad(kind, "pad_value", self.pad_value, "0 for uint8 input")
        rows, cols = self.window.output(kind, height, width)
        return self.output_dtype(dtype), (rows, cols, self.outputs)

    def reference(self, x: Array) -> Array:
        """(N, H, W, C) to (N, OH, OW, O)."""
        x, weight = self.operands(x)
        rows, cols = self.window.output(type(self).__name__, x.shape[1], x.shape[2])
        acc = np.zeros((x.shape[0], rows, cols, self.outputs), x.dtype)
        per_group, channels = self.outputs // self.groups, self.weight.shape[3]
        for i, j, seen in self.window.taps(x, self.pad_value):
            for g in range(self.groups):
                outputs = slice(g * per_group, (g + 1) * per_group)
                acc[..., outputs] += seen[..., g * channels : (g + 1) * channels] @ weight[outputs, i, j].T
        return self.finish(self.to_sum(acc))

    def to_record(self) -> tuple[dict[int, Array | BitTensor], list[int]]:
        """Slots 0 to 4; window, groups, pad value."""
        return self.output_tensors(), [*self.window.attributes(), int(self.groups), _PAD_CODES[self.pad_value]]

    @classmethod
    def from_record(cls, tensors: Tensors, attributes: Sequence[int], name: str) -> _Conv2d:
        """From the file."""
        pad_value = {code: value for value, code in _PAD_CODES.items()}[attributes[11]]
        return cls(
            **cls.output_fields(tensors),
            **Window.fields(attributes),
            groups=attributes[10],
            pad_value=pad_value,
            name=name,
        )


@dataclass(frozen=True, eq=False)
class BinaryConv2d(BinaryWeights, _Conv2d):
    """Convolution with binary weights; exact in integers on bits and on uint8.

    Args:
        weight: +1 and -1 (or bool, or a BitTensor), (outputs, kernel_h, kernel_w, channels / groups).
        strides, dilation: a number or (height, width).
        padding: a number, (height, width), or ((top, bottom), (left, right)).
        pad_value: what padding is: 0 (PyTorch pads after the sign), +1 or -1; uint8 input takes 0.
        groups: divides input and output channels.
        threshold: makes the output bits; int32 for bits and uint8 input, float32 for float32 input.
        scale, bias: float32, a number or (outputs,), for a float32 output.
        zero_one: the input's bits count as 0 and 1, and pad_value is 0 or +1.

    Raises:
        ModelError: a field that cannot be.
    """

    op = "binary_conv2d"
    zero_one: bool = False

    def __post_init__(self) -> None:
        """Checks every field."""
        super().__post_init__()
        if self.zero_one and self.pad_value == -1:
            raise bad("BinaryConv2d", "pad_value", self.pad_value, "0 or +1, where zero_one is set")

    @classmethod
    def from_real(cls, weight: Any, *, magnitude: bool = False, **fields: Any) -> BinaryConv2d:
        """A layer with the signs of real weights (0 is +1).

        Args:
            weight: (outputs, kernel_h, kernel_w, channels / groups).
            magnitude: scale each output by its weights' mean absolute value, as XNOR-Net does (arXiv:1603.05279).
            fields: the others, as for BinaryConv2d; no scale where magnitude is set.
        """
        if magnitude:
            fields["scale"] = np.abs(np.asarray(weight, np.float64)).mean(axis=(1, 2, 3))
        return cls(np.asarray(weight) >= 0, **fields)

    def to_record(self) -> tuple[dict[int, Array | BitTensor], list[int]]:
        """Slots 0 to 4; window, groups, pad value, zero_one."""
        tensors, attributes = super().to_record()
        return tensors, [*attributes, int(self.zero_one)]

    @classmethod
    def from_record(cls, tensors: Tensors, attributes: Sequence[int], name: str) -> BinaryConv2d:
        """From the file."""
        layer = super().from_record(tensors, attributes, name)
        assert isinstance(layer, BinaryConv2d)
        return replace(layer, zero_one=True) if attributes[12] else layer


class Conv2d(RealWeights, _Conv2d):
    """Convolution with float32 or int8 weights, on float32, uint8 or bits, summed in float32.

    Arguments as for BinaryConv2d; int8 weights are whole numbers, which `scale` brings to size.
    """

    op = "conv2d"
