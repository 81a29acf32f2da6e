"""What every layer is: a frozen dataclass with an output spec, a NumPy reference, and a form in the file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bnnengine.bits import BitTensor, frozen
from bnnengine.errors import ModelError

Array = npt.NDArray[Any]

# A value's dtype and its shape without the batch.
Spec = tuple[str, tuple[int, ...]]

# What a file holds for a layer: tensors by slot (an array or a BitTensor), and attributes.
Tensors = Mapping[int, "Array | BitTensor"]


class Layer:
    """Base of all layers.

    A layer is immutable. Bits are arrays of +1 and -1 (int8) in references. `op` is the operator's name in the file
    (docs/format.md), or None for a layer that must be folded into others before a network is saved.
    """

    op: ClassVar[str | None] = None
    inputs: ClassVar[tuple[int, int]] = (1, 1)  # the least and the most
    results: ClassVar[int] = 1
    name: str | None

    def output_spec(self, *specs: Any, **_: Any) -> Any:
        """The output's dtype and shape, a tuple of such for several; raises ModelError for inputs it cannot take."""
        raise NotImplementedError

    def reference(self, *arrays: Any, **_: Any) -> Any:
        """What the layer computes, in NumPy: (N, *input shape) each to (N, *output shape), a tuple for several."""
        raise NotImplementedError

    def lower(self, *specs: Spec) -> list[Layer]:
        """The chain of layers that the file has for it: the layer itself where it has an operator of its own."""
        return [self]

    def to_record(self) -> tuple[dict[int, Array | BitTensor], list[int]]:
        """The layer's tensors by slot and its attributes, as the file holds them; for_channels comes first."""
        return {}, []

    def for_channels(self, channels: int) -> Layer:
        """The layer with one number a channel where it has one for all, as the file wants it."""
        return self

    @classmethod
    def from_record(cls, tensors: Tensors, attributes: Sequence[int], name: str) -> Layer:
        """The layer that to_record describes."""
        return cls(name=name)  # type: ignore[call-arg]

    @classmethod
    def from_node(cls, tensors: Tensors, attributes: Sequence[int], name: str, shape: tuple[int, ...]) -> Layer:
        """The same for a layer whose first output has this shape in the file, which a few need to know."""
        return cls.from_record(tensors, attributes, name)

    @property
    def parameters(self) -> int:
        """How many numbers the layer has learned: one for each element of its tensors, bits included."""
        if self.op is None:
            fields = [getattr(self, f.name) for f in dataclasses.fields(self)]  # type: ignore[arg-type]
            return sum(int(v.size) for v in fields if isinstance(v, np.ndarray))
        tensors, _ = self.to_record()
        return sum(int(np.prod(t.shape)) for t in tensors.values())

    def __eq__(self, other: object) -> bool:
        """The same kind with the same content, whatever the name."""
        if type(self) is not type(other):
            return NotImplemented
        names = [f.name for f in dataclasses.fields(self) if f.name != "name"]  # type: ignore[arg-type]
        return all(_same(getattr(self, n), getattr(other, n)) for n in names)

    def __hash__(self) -> int:
        """Of the kind, which equal layers share."""
        return hash(type(self))


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return a is not None and b is not None and a.shape == b.shape and a.dtype == b.dtype and bool((a == b).all())
    return bool(a == b)


def bad(layer: str, field: str, got: object, wanted: str) -> ModelError:
    """The error for a field of a layer."""
    return ModelError(f"{layer}: {field}: got {got}, wanted {wanted}")


def expect(layer: Layer, spec: Spec, dtypes: Sequence[str], rank: int | None = None) -> None:
    """Raises ModelError unless the input has one of the dtypes and, where given, the rank (else at least 1)."""
    dtype, shape = spec
    kind = type(layer).__name__
    if dtype not in dtypes:
        hint = ""
        if "bits" in dtypes and dtype in ("uint8", "float32"):
            hint = "; put Sign() or Binarize() before it"
        elif "float32" in dtypes and dtype in ("bits", "uint8"):
            hint = "; put ScaleBias() before it"
        raise bad(kind, "input dtype", dtype, " or ".join(dtypes) + hint)
    if rank is not None and len(shape) != rank:
        names = {1: "a vector (K,); put Flatten() before it", 3: "an image (height, width, channels)"}
        raise bad(kind, "input shape", shape, names.get(rank, f"rank {rank}"))
    if rank is None and not shape:
        raise bad(kind, "input shape", shape, "a rank of at least 1")


def floats(layer: str, field: str, values: npt.ArrayLike, *, infinite: bool = False) -> Array:
    """The values as a read-only float32 array without NaN, and without infinities unless they are welcome."""
    try:
        with np.errstate(over="ignore"):
            a = frozen(np.asarray(values, np.float32, order="C"))
    except (TypeError, ValueError):
        raise bad(layer, field, f"a {type(values).__name__}", "an array of float32 numbers") from None
    if np.isnan(a).any() or (not infinite and np.isinf(a).any()):
        raise bad(layer, field, "values that are not finite", "finite float32 numbers")
    return a


def channel_vector(layer: Layer, field: str, values: Array, channels: int) -> Array:
    """A scalar or [C] as [C]; raises ModelError for any other length."""
    if values.ndim > 1 or (values.ndim == 1 and values.shape[0] != channels):
        raise bad(type(layer).__name__, field, f"shape {values.shape}", f"a number or shape ({channels},)")
    return frozen(np.ascontiguousarray(np.broadcast_to(values, (channels,))))


@dataclass(frozen=True, eq=False)
class Input(Layer):
    """The input of a network: uint8 or float32, of `shape` without the batch; an image is (height, width, channels)."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    name: str | None = None

    def __post_init__(self) -> None:
        """Refuses other dtypes and empty dimensions."""
        shape = (self.shape,) if isinstance(self.shape, int) else tuple(int(n) for n in self.shape)
        if not 0 < len(shape) <= 6 or min(shape) < 1:
            raise bad("Input", "shape", self.shape, "1 to 6 dimensions of at least 1, without the batch")
        if str(self.dtype) not in ("uint8", "float32"):
            raise bad("Input", "dtype", self.dtype, "uint8 or float32")
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "dtype", str(self.dtype))
