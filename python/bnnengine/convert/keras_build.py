"""What a Keras layer is made of: values with their shapes, fields that are checked, and operators of the plain graph.

A value's shape here is Keras' own, without the batch: (height, width, channels), (length, channels) or (channels,).
In the net an image stands channels-first, and a sequence is an image one pixel high.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnnengine.convert.ir import Array, Net, Op
from bnnengine.errors import ConvertError

MOST_NUMBERS = 1 << 28  # in a value
LARGEST = 1 << 16  # of a kernel's size, a stride and the like


@dataclass(frozen=True)
class Tensor:
    """A value of the net, and its shape in Keras' order."""

    name: str
    shape: tuple[int, ...]

    @property
    def image(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        if len(self.shape) not in (2, 3):
            raise ConvertError(f"input: shape: got {self.shape}, wanted an image or a sequence")
        height, width, channels = (1, *self.shape) if len(self.shape) == 2 else self.shape
        return height, width, channels


class Fields:
    """A layer's description; every field is checked when it is read."""

    def __init__(self, config: Any) -> None:
        """A field that is missing has its default."""
        self.config: dict[str, Any] = config if isinstance(config, dict) else {}

    def get(self, key: str, default: Any = None) -> Any:
        """A field as it stands there."""
        return self.config.get(key, default)

    def flag(self, key: str, default: bool) -> bool:
        """True or False."""
        return bool(self.get(key, default))

    def number(self, key: str, default: float) -> float:
        """A finite number; None, and Keras' words for an array of one, are taken too."""
        given = self.get(key, default)
        while isinstance(given, (dict, list)) and given:
            given = given[0] if isinstance(given, list) else given.get("value", given.get("config"))
        given = default if given is None else given
        if isinstance(given, bool) or not isinstance(given, (int, float)) or not math.isfinite(given):
            raise ConvertError(f"{key}: got {given!r}, wanted a number")
        return float(given)

    def pair(self, key: str, default: Any, rank: int = 2) -> tuple[int, int]:
        """Two whole numbers, one for height and one for width; of a sequence (rank 1) for the width."""
        given = self.get(key)
        given = default if given is None else given
        found = [given] * rank if isinstance(given, int) else given
        if not isinstance(found, list) or len(found) != rank or not all(type(n) is int for n in found):
            raise ConvertError(f"{key}: got {given!r}, wanted {rank} whole numbers")
        if not all(1 <= n <= LARGEST for n in found):
            raise ConvertError(f"{key}: got {given!r}, wanted numbers from 1 to {LARGEST}")
        return (1, found[0]) if rank == 1 else (found[0], found[1])

    def choice(self, key: str, *wanted: str) -> str:
        """One of these words; the first one is the default."""
        given = self.get(key, wanted[0])
        if given not in wanted:
            raise ConvertError(f"{key}: got {given!r}, wanted {' or '.join(map(repr, wanted))}")
        return str(given)

    def channels_last(self) -> None:
        """Refuses layers that say otherwise."""
        if self.get("data_format") not in (None, "channels_last"):
            raise ConvertError(
                f"data_format: got {self.get('data_format')!r}, wanted 'channels_last': build the network with that"
            )


@dataclass(frozen=True)
class Layer:
    """A call of a layer.

    Attributes:
        kind, name: its class', and its own.
        fields: its description.
        weights: its arrays, by their names in Keras' order.
        args, kwargs: what it is called with, where Tensors stand for values.
    """

    kind: str
    name: str
    fields: Fields
    weights: Callable[[Sequence[str]], list[Array]]
    args: Sequence[Any] = ()
    kwargs: Any = None


class Builder:
    """Adds operators to a net."""

    def __init__(self, keras: int = 2) -> None:
        """An empty net, of Keras 2 or 3."""
        self.keras = keras
        self.net = Net({}, [], {}, [], channels_last=True)
        self.layer = ""  # whose operators are added
        self._count = 0

    def fresh(self) -> str:
        """A name that no input has."""
        self._count += 1
        return f"#{self._count}"

    def input(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """An input of the net."""
        if name in self.net.inputs:
            raise ConvertError(f"inputs: two are named {name!r}")
        tensor = self._tensor(name, shape)
        if len(shape) == 1:
            self.net.inputs[name] = (0, *shape)
        else:
            height, width, channels = tensor.image
            self.net.inputs[name] = (0, channels, height, width)
        return tensor

    def constant(self, array: Any) -> str:
        """The name of a constant, float32 unless it is whole."""
        name, found = self.fresh(), np.asarray(array)
        self.net.constants[name] = found.astype(np.float32) if found.dtype.kind == "f" else found
        return name

    def emit(self, kind: str, inputs: Sequence[Tensor | str], shape: Sequence[int], **attributes: Any) -> Tensor:
        """An operator of one output."""
        made = self._tensor(self.fresh(), tuple(int(n) for n in shape))
        names = [x if isinstance(x, str) else x.name for x in inputs]
        self.net.ops.append(Op(kind, names, [made.name], attributes, self.layer))
        return made

    def split(self, x: Tensor, sizes: Sequence[int]) -> list[Tensor]:
        """Parts of the channels."""
        made = [self._tensor(self.fresh(), (*x.shape[:-1], size)) for size in sizes]
        if len(made) > x.shape[-1] or sum(sizes) != x.shape[-1]:
            raise ConvertError(f"split: got {list(sizes)} of {x.shape[-1]} channels")
        inputs = [x.name, self.constant(np.array(sizes, np.int64))]
        self.net.ops.append(Op("Split", inputs, [y.name for y in made], {"axis": 1}, self.layer))
        return made

    def _tensor(self, name: str, shape: tuple[int, ...]) -> Tensor:
        if not 1 <= len(shape) <= 3 or min(shape) < 1 or math.prod(shape) > MOST_NUMBERS:
            raise ConvertError(f"shape: got {shape}, wanted 1 to 3 axes without the batch, of sizes from 1")
        return Tensor(name, shape)

    # ---- shapes ----

    def with_scalar(self, kind: str, x: Tensor, number: float) -> Tensor:
        """Arithmetic with one number, at the right."""
        return self.emit(kind, [x, self.constant(np.float32(number).reshape(()))], x.shape)

    def clip(self, x: Tensor, low: float, high: float) -> Tensor:
        """Between two numbers."""
        return self.emit("Clip", [x, *(self.constant(np.float32(n).reshape(())) for n in (low, high))], x.shape)

    def flat(self, x: Tensor) -> Tensor:
        """A vector in Keras' order."""
        if len(x.shape) == 1:
            return x
        height, width, channels = x.image
        if height * width > 1 and channels > 1:
            x = self.emit("Transpose", [x], x.shape, perm=[0, 2, 3, 1])
        return self.emit("Flatten", [x], [math.prod(x.shape)], axis=1)

    def reshaped(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        """The same numbers, in Keras' order."""
        if math.prod(shape) != math.prod(x.shape) or not shape or min(shape) < 1:
            raise ConvertError(f"target_shape: got {list(shape)}, wanted as many numbers as {x.shape} has")
        x = self.flat(x)
        if len(shape) == 1:
            return x
        height, width, channels = Tensor("", tuple(shape)).image
        if channels == 1 or height * width == 1:
            return self.emit("Reshape", [x, self.constant(np.array([0, channels, height, width]))], shape)
        x = self.emit("Reshape", [x, self.constant(np.array([0, height, width, channels]))], shape)
        return self.emit("Transpose", [x], shape, perm=[0, 3, 1, 2])

    def merged(self, kind: str, x: Tensor, y: Tensor) -> Tensor:
        """Arithmetic on two values, one of which may have sizes of 1."""
        if len(x.shape) != len(y.shape):
            raise ConvertError(f"inputs: shapes: got {x.shape} and {y.shape}, wanted as many axes")
        try:
            shape = np.broadcast_shapes(x.shape, y.shape)
        except ValueError:
            raise ConvertError(f"inputs: shapes: got {x.shape} and {y.shape}, wanted equal ones") from None
        return self.emit(kind, [x, y], shape)

    # ---- sums ----

    def conv(
        self, x: Tensor, weight: Array, bias: Array | None, *, strides: tuple[int, int] = (1, 1),
        dilation: tuple[int, int] = (1, 1), groups: int = 1, padding: str = "valid", pad_value: float = 0.0,
    ) -> Tensor:  # fmt: skip
        """A convolution with weights (outputs, channels / groups, height, width)."""
        height, width, channels = x.image
        if weight.shape[1] * groups != channels or weight.shape[0] % groups or (bias is not None and bias.ndim != 1):
            raise ConvertError(f"kernel: shape {weight.shape} in {groups} groups, on {channels} channels")
        pads, size = windows((height, width), weight.shape[2:], strides, dilation, padding)
        attributes: dict[str, Any] = {"strides": list(strides), "dilations": list(dilation), "group": groups}
        if pad_value and any(pads):
            attributes["pad_value"] = pad_value
        inputs: list[Tensor | str] = [x, self.constant(weight), *([] if bias is None else [self.constant(bias)])]
        shape = (*size, weight.shape[0])[3 - len(x.shape) :]
        return self.emit("Conv", inputs, shape, pads=pads, kernel_shape=list(weight.shape[2:]), **attributes)

    def pool(
        self, kind: str, x: Tensor, kernel: tuple[int, int], strides: tuple[int, int], padding: str
    ) -> Tensor:  # fmt: skip
        """A pool."""
        height, width, channels = x.image
        pads, size = windows((height, width), kernel, strides, (1, 1), padding)
        shape = (*size, channels)[3 - len(x.shape) :]
        return self.emit(kind, [x], shape, kernel_shape=list(kernel), strides=list(strides), pads=pads)


def windows(
    size: tuple[int, int], kernel: Sequence[int], strides: tuple[int, int], dilation: tuple[int, int], padding: str
) -> tuple[list[int], tuple[int, int]]:
    """Pads (top, left, bottom, right) and the size of what windows make, as TensorFlow has it: more at the end."""
    before, after, made = [], [], []
    for n, k, s, d in zip(size, kernel, strides, dilation, strict=True):
        reach = (k - 1) * d + 1
        total = 0
        if padding == "causal":
            total = (k - 1) * d
        elif padding == "same":
            total = max((-(-n // s) - 1) * s + reach - n, 0)
        before.append(total if padding == "causal" else total // 2)
        after.append(total - before[-1])
        made.append((n + total - reach) // s + 1)
    if min(made) < 1:
        raise ConvertError(f"kernel: {tuple(kernel)} is larger than the input, {size}")
    return [*before, *after], (made[0], made[1])
