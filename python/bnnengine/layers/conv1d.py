"""One-dimensional convolution: a two-dimensional one of an image that is one pixel high."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bnnengine.bits import BitTensor
from bnnengine.layers.base import Array, Layer, Spec, bad, expect
from bnnengine.layers.conv2d import BinaryConv2d, Conv2d
from bnnengine.layers.output import Threshold
from bnnengine.layers.structure import Reshape


@dataclass(frozen=True, eq=False)
class _Conv1d(Layer):
    weight: Any
    strides: int = 1
    padding: Any = 0
    pad_value: int = 0
    dilation: int = 1
    groups: int = 1
    threshold: Threshold | None = None
    scale: Any = None
    bias: Any = None
    name: str | None = None

    image_kind: ClassVar[type[BinaryConv2d] | type[Conv2d]]

    def __post_init__(self) -> None:
        """Checks every field, by making the two-dimensional layer."""
        shape = self.weight.shape if isinstance(self.weight, BitTensor) else np.shape(self.weight)
        if len(shape) != 3:
            raise bad(type(self).__name__, "weight", f"shape {shape}", "shape (outputs, kernel, channels / groups)")
        left_right = tuple(self.padding) if not isinstance(self.padding, int) else (self.padding, self.padding)
        weight = self.weight.unpack() if isinstance(self.weight, BitTensor) else np.asarray(self.weight)
        image = self.image_kind(
            weight[:, None],
            strides=(1, self.strides),
            padding=((0, 0), left_right),
            pad_value=self.pad_value,
            dilation=(1, self.dilation),
            groups=self.groups,
            threshold=self.threshold,
            scale=self.scale,
            bias=self.bias,
            name=self.name,
        )
        object.__setattr__(self, "_image", image)

    def output_spec(self, spec: Spec) -> Spec:
        """(L, C) to (OL, O), bits or float32."""
        expect(self, spec, ("bits", "uint8", "float32"))
        if len(spec[1]) != 2:
            raise bad(type(self).__name__, "input shape", spec[1], "(length, channels)")
        dtype, shape = self._image.output_spec((spec[0], (1, *spec[1])))  # type: ignore[attr-defined]
        return dtype, shape[1:]

    def reference(self, x: Array) -> Array:
        """(N, L, C) to (N, OL, O)."""
        return self._image.reference(x[:, None])[:, 0]  # type: ignore[attr-defined,no-any-return]

    def lower(self, *specs: Spec) -> list[Layer]:
        """An image one pixel high, its convolution, and back; the shapes change in place."""
        image = (1, *specs[0][1])
        return [Reshape(image), self._image, Reshape(self.output_spec(specs[0])[1])]  # type: ignore[attr-defined]


class BinaryConv1d(_Conv1d):
    """Convolution of (length, channels) with binary weights (outputs, kernel, channels / groups).

    The other arguments are as for BinaryConv2d, with one number in place of (height, width), and (left, right) padding.
    """

    image_kind = BinaryConv2d


class Conv1d(_Conv1d):
    """Convolution of (length, channels) with float32 weights. Arguments as for BinaryConv1d."""

    image_kind = Conv2d
