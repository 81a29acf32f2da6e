"""Dense (fully connected) layers with binary or with real weights: y[n, o] = sum over k of x[n, k] * w[o, k].

On bits it is BinaryNet's XNOR and bit count (arXiv:1602.02830).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bnnengine.bits import BitTensor
from bnnengine.layers.base import Array, Spec, Tensors, bad, expect
from bnnengine.layers.output import BinaryWeights, RealWeights, Sum, Threshold


@dataclass(frozen=True, eq=False)
class _Dense(Sum):
    weight: Any
    threshold: Threshold | None = None
    scale: Any = None
    bias: Any = None
    name: str | None = None

    def __post_init__(self) -> None:
        """Brings the weights into form and checks every field."""
        object.__setattr__(self, "weight", self.take_weight(self.weight))
        if len(self.weight.shape) != 2:
            raise bad(type(self).__name__, "weight", f"shape {self.weight.shape}", "shape (outputs, inputs)")
        self.settle_output()

    def output_spec(self, spec: Spec) -> Spec:
        """Vector (K,) to (O,), bits or float32."""
        expect(self, spec, ("bits", "uint8", "float32"), 1)
        dtype, (inputs,) = spec
        if inputs != self.weight.shape[1]:
            raise bad(type(self).__name__, "inputs", inputs, f"{self.weight.shape[1]}, as the weight has")
        return self.output_dtype(dtype), (self.outputs,)

    def reference(self, x: Array) -> Array:
        """(N, K) to (N, O)."""
        x, weight = self.operands(x)
        return self.finish(self.to_sum(x @ weight.T))

    def to_record(self) -> tuple[dict[int, Array | BitTensor], list[int]]:
        """Slots 0 to 4."""
        return self.output_tensors(), []

    @classmethod
    def from_record(cls, tensors: Tensors, attributes: Sequence[int], name: str) -> _Dense:
        """From the file."""
        return cls(**cls.output_fields(tensors), name=name)


@dataclass(frozen=True, eq=False)
class BinaryDense(BinaryWeights, _Dense):
    """Dense with binary weights; exact in integers on bits and on uint8.

    Args:
        weight: +1 and -1 (or bool, or a BitTensor), (outputs, inputs).
        threshold: makes the output bits; int32 for bits and uint8 input, float32 for float32 input.
        scale, bias: float32, a number or (outputs,), for a float32 output.
        zero_one: the input's bits count as 0 and 1.

    Raises:
        ModelError: a field that cannot be.
    """

    op = "binary_dense"
    zero_one: bool = False

    def to_record(self) -> tuple[dict[int, Array | BitTensor], list[int]]:
        """Slots 0 to 4; zero_one."""
        return self.output_tensors(), [int(self.zero_one)]

    @classmethod
    def from_record(cls, tensors: Tensors, attributes: Sequence[int], name: str) -> BinaryDense:
        """From the file."""
        return cls(**cls.output_fields(tensors), zero_one=bool(attributes[0]), name=name)


class Dense(RealWeights, _Dense):
    """Dense with float32 or int8 weights, on float32, uint8 or bits, summed in float32.

    Arguments as for BinaryDense; int8 weights are whole numbers, which `scale` brings to size.
    """

    op = "dense"
