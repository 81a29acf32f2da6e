"""What becomes of a sum: bits by a threshold, or float32 by scale and bias."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnengine.bits import BitTensor, as_bits, frozen
from bnnengine.errors import ModelError
from bnnengine.layers.base import Array, Layer, Tensors, bad, channel_vector, floats


@dataclass(frozen=True, eq=False)
class Threshold:
    """Batch norm and sign as one comparison a channel (FINN, arXiv:1612.07119, section 4.2.2).

    The output is +1 where acc >= value, or, where flip is set, where acc <= value; else -1. A NaN gives -1.

    Attributes:
        value: [C]; int32 for exact integer sums, float32 (not NaN) for others.
        flip: bool [C], or a bool for all channels.
    """

    value: Array
    flip: Array | bool = False

    def __post_init__(self) -> None:
        """Refuses a value of another dtype, and lengths that differ."""
        value = np.asarray(self.value)
        if value.dtype.kind in "iu":
            if value.size and (value.min() < -(2**31) or value.max() >= 2**31):
                raise bad("Threshold", "value", "numbers beyond int32", "int32")
            value = value.astype(np.int32)
        elif value.dtype.kind == "f":
            value = floats("Threshold", "value", value, infinite=True)
        else:
            raise bad("Threshold", "value", f"dtype {value.dtype}", "int32 or float32")
        if value.ndim != 1:
            raise bad("Threshold", "value", f"shape {value.shape}", "shape (channels,)")
        flip = np.asarray(self.flip, np.bool_)
        if flip.shape not in ((), value.shape):
            raise bad("Threshold", "flip", f"shape {flip.shape}", f"a bool or shape {value.shape}")
        object.__setattr__(self, "value", frozen(np.ascontiguousarray(value)))
        object.__setattr__(self, "flip", frozen(np.ascontiguousarray(np.broadcast_to(flip, value.shape))))

    def apply(self, acc: Array) -> npt.NDArray[np.int8]:
        """+1 and -1 (int8) from sums [..., C]."""
        return np.where(np.where(self.flip, acc <= self.value, acc >= self.value), 1, -1).astype(np.int8)

    def __eq__(self, other: object) -> bool:
        """The same values, of the same dtype, and flips."""
        return (
            isinstance(other, Threshold) and self.value.dtype == other.value.dtype
            and np.array_equal(self.value, other.value) and np.array_equal(self.flip, other.flip)
        )  # fmt: skip

    def __hash__(self) -> int:
        """Of values and flips."""
        return hash((self.value.tobytes(), np.asarray(self.flip).tobytes()))


class Sum(Layer):
    """Base of the layers that sum products: dense and convolution, with binary or real weights.

    With `threshold` the output is bits; otherwise it is float32(acc) * scale + bias, each step rounded to float32; an
    absent scale is 1, an absent bias 0. acc is an exact integer where weights are binary and the input is bits or
    uint8, and float32 otherwise.
    """

    weight: Any
    threshold: Threshold | None
    scale: Any
    bias: Any
    zero_one: bool = False

    def take_weight(self, weight: Any) -> Any:
        """The weights in the form that this kind of layer keeps."""
        raise NotImplementedError

    @property
    def outputs(self) -> int:
        """Output channels."""
        return int(self.weight.shape[0])

    @property
    def depth(self) -> int:
        """Products in one sum."""
        return int(np.prod(self.weight.shape[1:]))

    @property
    def is_binary(self) -> bool:
        """Whether the weights are bits."""
        return isinstance(self.weight, BitTensor)

    def exact(self, dtype: str) -> bool:
        """Whether sums over an input of this dtype are exact integers."""
        return self.is_binary and dtype != "float32"

    def settle_output(self) -> None:
        """Brings scale and bias into form; refuses what the output cannot be, and weights without elements."""
        kind = type(self).__name__
        if min(self.weight.shape) < 1:
            raise bad(kind, "weight", f"shape {self.weight.shape}", "no empty dimension")
        if self.threshold is not None and not isinstance(self.threshold, Threshold):
            raise bad(kind, "threshold", f"a {type(self.threshold).__name__}", "a Threshold(value, flip)")
        for field in ("scale", "bias"):
            values = getattr(self, field)
            if values is not None:
                if self.threshold is not None:
                    raise ModelError(f"{kind}: {field}: a threshold excludes scale and bias")
                vector = channel_vector(self, field, floats(kind, field, values), self.outputs)
                object.__setattr__(self, field, vector)
        if self.threshold is not None and self.threshold.value.shape != (self.outputs,):
            raise bad(
                kind, "threshold", f"{self.threshold.value.shape[0]} values", f"{self.outputs}, one an output channel"
            )

    def output_dtype(self, dtype: str) -> str:
        """The dtype of the output; raises ModelError where the threshold's dtype does not fit the sums."""
        kind = type(self).__name__
        if self.zero_one and dtype != "bits":
            raise bad(kind, "input dtype", dtype, "bits, where zero_one is set")
        if self.exact(dtype) and self.depth * (255 if dtype == "uint8" else 1) >= 2**31 - 1:
            raise bad(kind, "weight", f"sums of {self.depth} products", "sums that fit in 32 bits")
        if self.threshold is None:
            return "float32"
        wanted = "int32" if self.exact(dtype) else "float32"
        if self.threshold.value.dtype != wanted:
            raise bad(kind, "threshold dtype", self.threshold.value.dtype, f"{wanted} for {dtype} input")
        return "bits"

    def finish(self, acc: Array) -> Array:
        """The output from sums [..., O], int64 or float32."""
        if self.threshold is not None:
            return self.threshold.apply(acc)
        y = acc.astype(np.float32)
        if self.scale is not None:
            y = y * self.scale
        if self.bias is not None:
            y = y + self.bias
        return y

    def operands(self, x: Array) -> tuple[Array, Array]:
        """Input and weights in a type that sums exactly, or, for floats, far more finely than float32."""
        weight = self.weight.unpack() if self.is_binary else self.weight
        wide = np.int64 if self.is_binary and x.dtype != np.float32 else np.float64
        if self.zero_one:
            x = x > 0
        return x.astype(wide), weight.astype(wide)

    def to_sum(self, acc: Array) -> Array:
        """Integers as they are, floats rounded to float32."""
        return acc if acc.dtype == np.int64 else acc.astype(np.float32)

    def output_tensors(self) -> dict[int, Array | BitTensor]:
        """Slots 0 to 4 of the file."""
        tensors: dict[int, Array | BitTensor] = {0: self.weight}
        if self.threshold is not None:
            tensors[1] = self.threshold.value
            tensors[2] = BitTensor.pack(self.threshold.flip)
        if self.scale is not None:
            tensors[3] = self.scale
        if self.bias is not None:
            tensors[4] = self.bias
        return tensors

    @staticmethod
    def output_fields(tensors: Tensors) -> dict[str, Any]:
        """weight, threshold, scale and bias from slots 0 to 4."""
        threshold = None
        if 1 in tensors:
            flip = tensors[2]
            assert isinstance(flip, BitTensor)
            threshold = Threshold(np.asarray(tensors[1]), flip.unpack() > 0)
        return {"weight": tensors[0], "threshold": threshold, "scale": tensors.get(3), "bias": tensors.get(4)}


class BinaryWeights:
    """Weights that are bits."""

    def take_weight(self, weight: Any) -> BitTensor:
        """The weights packed; raises ModelError for anything but +1 and -1."""
        try:
            return as_bits(weight)
        except ValueError as error:
            raise ModelError(f"{type(self).__name__}: weight: {error}") from None


class RealWeights:
    """Weights that are float32, or int8 where they come so."""

    def take_weight(self, weight: Any) -> Array:
        """The weights as finite float32, or as int8."""
        if isinstance(weight, np.ndarray) and weight.dtype == np.int8:
            return frozen(np.ascontiguousarray(weight))
        return floats(type(self).__name__, "weight", weight)
