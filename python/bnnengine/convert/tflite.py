"""TensorFlow Lite files of Larq Compute Engine: binary operators and the float ones around them, read with NumPy alone.

A packed bit of 1 is -1 there, and 0 has the sign +1. Files hold images and weights channels-last; values that are
computed at run time are channels-first in the Net, constants stay as they are until an operator takes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bnnengine.convert import reading
from bnnengine.convert.flatbuffer import Table, flex_map
from bnnengine.convert.ir import Array, Net, Op
from bnnengine.convert.tflite_schema import Graph, Operator, Tensor, parse
from bnnengine.errors import ConvertError

MOST_NUMBERS = 1 << 28  # of a value
MOST_OPTIONS = 1 << 12  # bytes
PLAIN = "convert it again from the float model, without quantization to integers"

TO_FIRST, TO_LAST = (0, 3, 1, 2), (0, 2, 3, 1)
SAME, VALID = 0, 1

FUSED: dict[int, tuple[str, dict[str, float]]] = {
    1: ("Relu", {}),
    2: ("Clip", {"min": -1.0, "max": 1.0}),
    3: ("Clip", {"min": 0.0, "max": 6.0}),
    4: ("Tanh", {}),
}
UNARY: dict[str, tuple[str, dict[str, float]]] = {
    "RELU": FUSED[1], "RELU_N1_TO_1": FUSED[2], "RELU6": FUSED[3], "TANH": FUSED[4],
    "RELU_0_TO_1": ("Clip", {"min": 0.0, "max": 1.0}), "LOGISTIC": ("Sigmoid", {}), "HARD_SWISH": ("HardSwish", {}),
    "ABS": ("Abs", {}), "NEG": ("Neg", {}), "EXP": ("Exp", {}), "LOG": ("Log", {}), "SQRT": ("Sqrt", {}),
    "FLOOR": ("Floor", {}), "CEIL": ("Ceil", {}), "ROUND": ("Round", {}), "ELU": ("Elu", {}),
    "LOGICAL_NOT": ("Not", {}),
}  # fmt: skip
BINARY = {
    "MAXIMUM": "Max", "MINIMUM": "Min", "GREATER": "Greater", "GREATER_EQUAL": "GreaterOrEqual", "LESS": "Less",
    "LESS_EQUAL": "LessOrEqual", "EQUAL": "Equal", "POW": "Pow",
}  # fmt: skip
ARITHMETIC = {"ADD": ("Add", 11), "SUB": ("Sub", 28), "MUL": ("Mul", 21), "DIV": ("Div", 29)}
REDUCTIONS = {"MEAN": "ReduceMean", "SUM": "ReduceSum", "REDUCE_MAX": "ReduceMax"}


@dataclass(frozen=True)
class _Value:
    """A value of the Net.

    Attributes:
        name: there.
        shape: in the file's order of axes; of packed bits, unpacked.
        constant: known already; its axes are then in the file's order.
        bits: the file has it packed.
    """

    name: str
    shape: tuple[int, ...]
    constant: bool = False
    bits: bool = False


def read(path: Path) -> Net:
    """The net of a file's first graph.

    Raises:
        ConvertError: no such file, a damaged one, or one with operators that cannot be taken, each named.
    """
    data = path.read_bytes()
    try:
        return _Reader(parse(data), 16 * len(data) + (1 << 20)).run()
    except ConvertError as error:
        raise ConvertError(f"{path.name}: {error}") from None


class _Reader:
    """Walks a graph's operators, one method a kind."""

    def __init__(self, graph: Graph, budget: int) -> None:
        """The budget is how many numbers may be made of the file's constants: bits unpack to more than they were."""
        self.graph, self.budget = graph, budget
        self.net = Net({}, [], {}, [], channels_last=True)
        self.values: dict[int, _Value] = {}
        self.lost: set[int] = set()  # behind an operator that is refused
        self.refused: list[str] = []
        self.label = ""
        self.made = 0

    def run(self) -> Net:
        """The net."""
        for index in self.graph.inputs:
            self._input(index)
        for op in self.graph.operators:
            self._take(op)
        if self.refused:
            raise ConvertError("; ".join(self.refused))
        for index in self.graph.outputs:
            value = self.values.get(index)
            if value is None or value.constant or value.bits:
                raise ConvertError(f"output {index}: wanted a float value that some operator makes")
            self.net.outputs.append(value.name)
        used = {name for op in self.net.ops for name in op.inputs}
        self.net.constants = {name: array for name, array in self.net.constants.items() if name in used}
        return self.net

    def _input(self, index: int) -> None:
        if index < 0 or index in self.values:
            raise ConvertError(f"inputs: tensor {index} is none, or stands there twice")
        tensor = self.graph.tensors[index]
        if tensor.type != "FLOAT32":
            raise ConvertError(f"input {tensor.label!r}: type: got {tensor.type}, wanted FLOAT32: {PLAIN}")
        if not tensor.shape or min(tensor.shape) < 1 or set(tensor.free) - {0}:
            raise ConvertError(
                f"input {tensor.label!r}: shape {tensor.shape}, free axes {list(tensor.free)}: wanted every size but "
                "the batch's; export the model with a fixed input size"
            )
        if math.prod(tensor.shape) > MOST_NUMBERS:
            raise ConvertError(f"input {tensor.label!r}: shape {tensor.shape}: wanted fewer numbers")
        name = tensor.label if tensor.label not in self.net.inputs else f"{tensor.label} ({index})"
        self.values[index] = _Value(name, tensor.shape)
        batch = 0 if tensor.free else tensor.shape[0]
        sizes = [tensor.shape[axis] for axis in TO_FIRST] if len(tensor.shape) == 4 else list(tensor.shape)
        self.net.inputs[name] = (batch, *sizes[1:])

    # ---- operators ----

    def _take(self, op: Operator) -> None:
        self.label = self.graph.tensors[op.outputs[0]].label if op.outputs and op.outputs[0] >= 0 else "without output"
        label = f"node {self.label!r} ({op.kind})"
        if self.lost & set(op.inputs):
            self.lost.update(op.outputs)  # behind one that is named already
            return
        try:
            made = self._handler(op)(op)
            values = made if isinstance(made, tuple) else (made,)
            if len(values) != len(op.outputs):
                raise ConvertError(f"outputs: got {len(op.outputs)}, wanted {len(values)}")
            for index, value in zip(op.outputs, values, strict=True):
                self._settle(index, value)
        except ConvertError as error:
            self.refused.append(f"{label}: {error}")
            self.lost.update(op.outputs)
        except (ValueError, TypeError, IndexError, KeyError, OverflowError, ZeroDivisionError) as error:
            self.refused.append(f"{label}: its form is not known: {error}")
            self.lost.update(op.outputs)

    def _handler(self, op: Operator) -> Callable[[Operator], _Value | tuple[_Value, ...]]:
        if op.custom:
            found = getattr(self, f"_do_{op.kind.lower()}", None) if op.kind.startswith("Lce") else None
            if found is None:
                raise ConvertError("a custom operator that is not known")
        else:
            groups: tuple[tuple[Any, Any], ...] = (
                (UNARY, self._unary), (BINARY, self._binary), (ARITHMETIC, self._arithmetic),
                (REDUCTIONS, self._reduced),
            )  # fmt: skip
            found = next((handler for kinds, handler in groups if op.kind in kinds), None)
            found = found or getattr(self, f"_do_{op.kind.lower()}", None)
            if found is None:
                raise ConvertError("there is no layer for this operator")
        return found  # type: ignore[no-any-return]

    def _settle(self, index: int, value: _Value) -> None:
        """The value is that tensor: its shape and type are as the file says."""
        if index < 0 or index in self.values or index in self.lost:
            raise ConvertError(f"output {index}: it is none, or made twice")
        tensor = self.graph.tensors[index]
        wanted = ("INT32",) if value.bits else ("FLOAT32", "BOOL", "INT32", "INT64")
        if tensor.type not in wanted:
            raise ConvertError(f"its output has the type {tensor.type}, wanted {' or '.join(wanted[:2])}: {PLAIN}")
        shape = (*value.shape[:-1], -(-value.shape[-1] // 32)) if value.bits else value.shape
        if tensor.shape not in ((), shape):
            raise ConvertError(f"output: shape: got {tensor.shape}, wanted {shape}")
        self.values[index] = value

    # ---- operands ----

    def _tensor(self, op: Operator, i: int) -> Tensor:
        if i >= len(op.inputs) or op.inputs[i] < 0:
            raise ConvertError(f"input {i}: it is left out")
        return self.graph.tensors[op.inputs[i]]

    def _has(self, op: Operator, i: int) -> bool:
        return i < len(op.inputs) and op.inputs[i] >= 0

    def _value(self, op: Operator, i: int = 0, *, bits: bool = False) -> _Value:
        """An input: float (or bool, or whole numbers that are constant), or packed bits where they are wanted."""
        tensor = self._tensor(op, i)
        index = op.inputs[i]
        if index not in self.values:
            if tensor.constant is None:
                raise ConvertError(f"input {i}: {tensor.label!r}: nothing makes it")
            if tensor.type not in ("FLOAT32", "INT32", "INT64", "BOOL"):
                raise ConvertError(f"input {i}: {tensor.label!r} has the type {tensor.type}, wanted FLOAT32: {PLAIN}")
            self.values[index] = self._known(tensor.constant)
        value = self.values[index]
        if value.bits != bits:
            raise ConvertError(f"input {i}: packed bits: got {value.bits}, wanted {bits}")
        return value

    def _array(self, op: Operator, i: int) -> Array:
        """A constant input's numbers, in the file's order of axes."""
        value = self._value(op, i)
        if not value.constant:
            raise ConvertError(f"input {i}: computed at run time, wanted a constant")
        return self.net.constants[value.name]

    def _image(self, op: Operator, i: int = 0, *, bits: bool = False) -> _Value:
        """A value (N, H, W, C) that is no constant."""
        value = self._value(op, i, bits=bits)
        if value.constant or len(value.shape) != 4:
            raise ConvertError(f"input {i}: shape {value.shape}: wanted an image (N, H, W, C) computed at run time")
        return value

    def _options(self, op: Operator, number: int) -> Table:
        if op.options_type not in (number, 0):
            raise ConvertError(f"options: got those of number {op.options_type}, wanted {number}")
        return op.options if op.options_type else Table(b"", None)

    # ---- making values ----

    def _fresh(self, kind: str) -> str:
        """A name that no input has."""
        self.made += 1
        name = f"{kind} {self.made}"
        return self._fresh(kind) if name in self.net.inputs else name

    def _known(self, array: Array) -> _Value:
        """A constant of the Net."""
        name = self._fresh("constant")
        self.net.constants[name] = array
        return _Value(name, array.shape, constant=True)

    def _spend(self, count: int) -> None:
        self.budget -= count
        if self.budget < 0:
            raise ConvertError("its constants grow beyond what a file of this size can mean")

    def _emit(self, kind: str, inputs: Sequence[_Value | None], shape: Sequence[int], **attributes: Any) -> _Value:
        """What an operator of the Net makes; evaluated at once where it depends on constants alone."""
        shape = tuple(int(n) for n in shape)
        if any(n < 1 for n in shape) or math.prod(shape) > MOST_NUMBERS:
            raise ConvertError(f"its output would have the shape {shape}, wanted sizes from 1 and fewer numbers")
        names = ["" if value is None else value.name for value in inputs]
        op = Op(kind, names, [self._fresh("value")], attributes, self.label)
        if all(value is None or value.constant for value in inputs):
            self._spend(math.prod(shape))
            made = reading.evaluate(op, [self.net.constants[name] if name else None for name in names])[0]
            return self._known(np.asarray(made))
        self.net.ops.append(op)
        return _Value(op.outputs[0], shape)

    def _fused(self, value: _Value, code: int) -> _Value:
        """Behind the activation that is part of an operator."""
        if code == 0:
            return value
        if code not in FUSED:
            raise ConvertError(f"fused activation: got number {code}, wanted none, RELU, RELU_N1_TO_1, RELU6 or TANH")
        kind, attributes = FUSED[code]
        return self._emit(kind, [value], value.shape, **attributes)

    def _turned(self, value: _Value, perm: Sequence[int]) -> _Value:
        return self._emit("Transpose", [value], [value.shape[axis] for axis in perm], perm=list(perm))

    def _reshaped(self, value: _Value, shape: Sequence[int]) -> _Value:
        """In the order of the file, where channels change fastest."""
        shape, old = tuple(int(n) for n in shape), value.shape
        if math.prod(shape) != math.prod(old) or min(shape, default=1) < 1:
            raise ConvertError(f"shape: got {shape}, wanted as many numbers as {old} has")
        if shape == old:
            return value
        if value.constant:
            return self._emit("Reshape", [value, self._known(np.array(shape, np.int64))], shape)
        if not shape or shape[0] != old[0]:
            raise ConvertError(f"shape: got {shape}, wanted the batch of {old} in front")
        turned = len(old) == 4 and old[1] * old[2] > 1 and old[3] > 1
        plain = replace(self._turned(value, TO_LAST), shape=old) if turned else value
        image = len(shape) == 4
        target = [0, *shape[1:]] if not image or shape[1] * shape[2] > 1 else [0, shape[3], 1, 1]
        made = self._emit("Reshape", [plain, self._known(np.array(target, np.int64))], shape)
        if image and shape[1] * shape[2] > 1:
            return replace(self._turned(made, TO_FIRST), shape=shape)
        return made

    def _flat(self, value: _Value, size: int) -> _Value:
        """(N, size)."""
        if math.prod(value.shape[1:]) != size:
            raise ConvertError(f"input 0: shape {value.shape}: wanted {size} numbers for each of the batch")
        return self._reshaped(value, (value.shape[0], size))

    def _aligned(self, value: _Value, rank: int, first: bool) -> _Value:
        """An operand of a broadcast, with as many axes as the result, channels-first where that is."""
        if value.constant:
            value = self._reshaped(value, (*[1] * (rank - len(value.shape)), *value.shape))
            return self._turned(value, TO_FIRST) if first and rank == 4 else value
        if len(value.shape) == 2 and rank == 4 and value.shape[0] == 1:  # a batch of 1: (1, C) is one pixel
            shape = (1, value.shape[1], 1, 1)
            return self._emit("Unsqueeze", [value], shape, axes=[2, 3])
        if len(value.shape) != rank:
            raise ConvertError(f"shape {value.shape}: wanted {rank} axes beside the other operand's")
        return value

    def _broadcast(self, kind: str, values: Sequence[_Value], **attributes: Any) -> _Value:
        shape = np.broadcast_shapes(*(value.shape for value in values))
        first = not all(value.constant for value in values)
        return self._emit(kind, [self._aligned(v, len(shape), first) for v in values], shape, **attributes)

    def _axes(self, value: _Value, axes: Sequence[int]) -> list[int]:
        """The file's axes of a value as the Net's."""
        rank = len(value.shape)
        found = [int(axis) for axis in axes]
        if any(not -rank <= axis < rank for axis in found):
            raise ConvertError(f"axes: got {found} of {rank}")
        return [TO_LAST[a % 4] if rank == 4 and not value.constant else a % rank for a in found]

    # ---- binary operators ----

    def _do_lcequantize(self, op: Operator) -> _Value:
        value = self._value(op)
        if self._tensor(op, 0).type == "BOOL":
            one, minus = self._known(np.ones((), np.float32)), self._known(np.full((), -1, np.float32))
            made = self._broadcast("Where", [value, one, minus])
        else:
            made = self._emit("Sign", [value], value.shape)
        return replace(made, bits=True)

    def _do_lcedequantize(self, op: Operator) -> _Value:
        if self.graph.tensors[op.outputs[0]].type != "FLOAT32":
            raise ConvertError(f"output: type: got {self.graph.tensors[op.outputs[0]].type}, wanted FLOAT32: {PLAIN}")
        return replace(self._value(op, bits=True), bits=False)

    def _custom(self, op: Operator, *keys: str) -> list[int]:
        """Custom options, all of which have to be there."""
        if op.custom_options.size > MOST_OPTIONS:
            raise ConvertError(f"custom options: got {op.custom_options.size} bytes, wanted up to {MOST_OPTIONS}")
        options = flex_map(op.custom_options.tobytes())
        missing = [key for key in keys if key not in options]
        if missing:
            raise ConvertError(f"custom options: {missing} are missing: written by a version that is not known")
        return [int(options[key]) for key in keys]

    def _do_lcebmaxpool2d(self, op: Operator) -> _Value:
        keys = ("filter_height", "filter_width", "stride_height", "stride_width", "padding")
        height, width, down, right, padding = self._custom(op, *keys)
        value = self._image(op, bits=True)
        return replace(self._pooled("MaxPool", value, (height, width), (down, right), padding), bits=True)

    def _do_lcebconv2d(self, op: Operator) -> _Value:
        channels, down, right, tall, wide, padding, outside, fused = self._custom(
            op, "channels_in", "stride_height", "stride_width", "dilation_height_factor", "dilation_width_factor",
            "padding", "pad_values", "fused_activation_function",
        )  # fmt: skip
        value, packed = self._image(op, bits=True), self._array(op, 1)
        if channels != value.shape[3] or outside not in (0, 1):
            raise ConvertError(f"channels_in {channels}, pad_values {outside}: wanted {value.shape[3]}, and 0 or 1")
        weight, groups = self._unpacked(packed, channels)
        outputs, taps = weight.shape[0], weight.size // weight.shape[0]
        kernel = self._known(weight)
        made = self._convolved(
            [value, kernel], weight.shape, (down, right), (tall, wide), padding, group=groups, pad_value=float(outside)
        )
        if self.graph.tensors[op.outputs[0]].type == "INT32":
            # the bit is 1, which is -1, where more of the products are -1 than the threshold says
            levels = taps - 2.0 * self._channels(op, 4, outputs, "INT32").astype(np.float64)
            level = self._known(levels.astype(np.float32).reshape(1, -1, 1, 1))
            return replace(self._emit("Binarize", [made, level], made.shape), bits=True)
        made = self._fused(made, fused)  # the sum is clamped before it is scaled
        scale, bias = (self._known(self._channels(op, i, outputs, "FLOAT32").reshape(1, -1, 1, 1)) for i in (2, 3))
        return self._emit("Add", [self._emit("Mul", [made, scale], made.shape), bias], made.shape)

    def _channels(self, op: Operator, i: int, count: int, kind: str) -> Array:
        """A constant vector of one number a channel."""
        array = self._array(op, i)
        if self._tensor(op, i).type != kind or array.shape != (count,):
            raise ConvertError(f"input {i}: got {self._tensor(op, i).type} {array.shape}, wanted {kind} ({count},)")
        return array

    def _unpacked(self, packed: Array, channels: int) -> tuple[Array, int]:
        """Weights (O, I / groups, KH, KW) of +1 and -1, and the groups; the file has words (O, KH, KW, words)."""
        words = -(-channels // 32)
        if packed.ndim != 4 or packed.dtype != np.int32 or not packed.size or words % packed.shape[3]:
            raise ConvertError(f"input 1: shape {packed.shape}: wanted INT32 (outputs, height, width, {words} words)")
        groups = words // packed.shape[3]
        if groups > 1 and (channels % (32 * groups) or packed.shape[0] % groups):
            raise ConvertError(f"groups: got {groups} of {channels} channels, {packed.shape[0]} outputs")
        self._spend(packed.size * 32)
        bits = np.unpackbits(np.ascontiguousarray(packed).view(np.uint8), axis=-1, bitorder="little")
        weight = 1 - 2 * bits[..., : channels // groups].astype(np.float32)
        return np.ascontiguousarray(weight.transpose(TO_FIRST)), groups

    # ---- windows ----

    def _window(
        self, size: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int], padding: int
    ) -> tuple[list[int], dict[str, Any]]:
        """Rows and columns behind a window, and the Net's attributes for it."""
        if min(*strides, *dilations, *kernel) < 1 or padding not in (SAME, VALID):
            raise ConvertError(
                f"window: got {kernel}, strides {strides}, dilations {dilations}, padding {padding}: wanted sizes from "
                "1, and padding 0 (SAME) or 1 (VALID)"
            )
        found = []
        for n, k, stride, dilation in zip(size, kernel, strides, dilations, strict=True):
            seen = n if padding == SAME else n - (k - 1) * dilation
            found.append(-(-seen // stride))
        attributes = {"strides": list(strides), "dilations": list(dilations)}
        return found, {**attributes, "auto_pad": "SAME_UPPER"} if padding == SAME else attributes

    def _convolved(
        self, inputs: list[_Value | None], shape: Sequence[int], strides: Sequence[int], dilations: Sequence[int],
        padding: int, **attributes: Any,
    ) -> _Value:  # fmt: skip
        """A convolution by weights of this shape (O, I / groups, KH, KW)."""
        value = inputs[0]
        assert value is not None
        kernel = shape[2:]
        size, fields = self._window(value.shape[1:3], kernel, strides, dilations, padding)
        return self._emit("Conv", inputs, (value.shape[0], *size, shape[0]), **fields, **attributes)

    def _pooled(self, kind: str, value: _Value, kernel: Sequence[int], strides: Sequence[int], padding: int) -> _Value:
        size, fields = self._window(value.shape[1:3], kernel, strides, (1, 1), padding)
        shape = (value.shape[0], *size, value.shape[3])
        if tuple(kernel) == value.shape[1:3] and size == [1, 1] and kind == "AveragePool":
            return self._emit("GlobalAveragePool", [value], shape)
        return self._emit(kind, [value], shape, kernel_shape=list(kernel), **fields)

    def _weights(self, op: Operator, rank: int) -> _Value:
        value = self._value(op, 1)
        if not value.constant or len(value.shape) != rank or self._tensor(op, 1).type != "FLOAT32":
            raise ConvertError(f"input 1: shape {value.shape}: wanted constant FLOAT32 weights of {rank} axes")
        return value

    def _bias(self, op: Operator, count: int) -> _Value | None:
        return self._known(self._channels(op, 2, count, "FLOAT32")) if self._has(op, 2) else None

    def _do_conv_2d(self, op: Operator) -> _Value:
        o = self._options(op, 1)
        value, weight = self._image(op), self._turned(self._weights(op, 4), TO_FIRST)
        outputs, depth = weight.shape[:2]
        groups, rest = divmod(value.shape[3], depth)
        if rest or not groups or outputs % groups:
            raise ConvertError(f"input 1: {outputs} outputs of {depth} channels, on an image of {value.shape[3]}")
        made = self._convolved(
            [value, weight, self._bias(op, outputs)], weight.shape, (o.number(2, "i"), o.number(1, "i")),
            (o.number(5, "i", 1), o.number(4, "i", 1)), o.number(0, "b"), group=groups,
        )  # fmt: skip
        return self._fused(made, o.number(3, "b"))

    def _do_depthwise_conv_2d(self, op: Operator) -> _Value:
        o = self._options(op, 2)
        value, given = self._image(op), self._weights(op, 4)
        channels = value.shape[3]
        if given.shape[0] != 1 or given.shape[3] % channels:
            raise ConvertError(f"input 1: shape {given.shape}: wanted (1, height, width, {channels} x multiplier)")
        weight = self._turned(given, (3, 0, 1, 2))
        made = self._convolved(
            [value, weight, self._bias(op, weight.shape[0])], weight.shape, (o.number(2, "i"), o.number(1, "i")),
            (o.number(6, "i", 1), o.number(5, "i", 1)), o.number(0, "b"), group=channels,
        )  # fmt: skip
        return self._fused(made, o.number(4, "b"))

    def _pool_2d(self, op: Operator, kind: str) -> _Value:
        o = self._options(op, 5)
        right, down, width, height = (o.number(field, "i") for field in (1, 2, 3, 4))
        made = self._pooled(kind, self._image(op), (height, width), (down, right), o.number(0, "b"))
        return self._fused(made, o.number(5, "b"))

    def _do_max_pool_2d(self, op: Operator) -> _Value:
        return self._pool_2d(op, "MaxPool")

    def _do_average_pool_2d(self, op: Operator) -> _Value:
        return self._pool_2d(op, "AveragePool")

    # ---- dense layers, arithmetic, functions ----

    def _do_fully_connected(self, op: Operator) -> _Value:
        o = self._options(op, 8)
        value, weight = self._value(op), self._weights(op, 2)
        outputs, depth = weight.shape
        keep, bias = bool(o.number(2, "B")), self._bias(op, outputs)
        if o.number(1, "b"):
            raise ConvertError("weights_format: shuffled weights are of whole numbers, which are not taken")
        if keep and len(value.shape) == 4 and value.shape[1] * value.shape[2] > 1:
            kernel = self._reshaped(weight, (outputs, depth, 1, 1))
            made = self._convolved([value, kernel, bias], kernel.shape, (1, 1), (1, 1), VALID)
        else:
            flat = self._flat(value, depth)
            made = self._emit("Gemm", [flat, weight, bias], (value.shape[0], outputs), transB=1)
            made = self._reshaped(made, (*value.shape[:-1], outputs)) if keep else made
        return self._fused(made, o.number(0, "b"))

    def _unary(self, op: Operator) -> _Value:
        kind, attributes = UNARY[op.kind]
        value = self._value(op)
        return self._emit(kind, [value], value.shape, **attributes)

    def _binary(self, op: Operator) -> _Value:
        return self._broadcast(BINARY[op.kind], [self._value(op), self._value(op, 1)])

    def _arithmetic(self, op: Operator) -> _Value:
        kind, number = ARITHMETIC[op.kind]
        return self._fused(
            self._broadcast(kind, [self._value(op), self._value(op, 1)]), self._options(op, number).number(0, "b")
        )

    def _do_select(self, op: Operator) -> _Value:
        return self._broadcast("Where", [self._value(op, i) for i in range(3)])

    _do_select_v2 = _do_select

    def _do_prelu(self, op: Operator) -> _Value:
        return self._broadcast("PRelu", [self._value(op), self._value(op, 1)])

    def _do_leaky_relu(self, op: Operator) -> _Value:
        value = self._value(op)
        return self._emit("LeakyRelu", [value], value.shape, alpha=self._options(op, 75).number(0, "f"))

    def _do_gelu(self, op: Operator) -> _Value:
        value, tanh = self._value(op), self._options(op, 116).number(0, "B")
        return self._emit("Gelu", [value], value.shape, approximate="tanh" if tanh else "none")

    def _do_softmax(self, op: Operator) -> _Value:
        value, beta = self._value(op), self._options(op, 9).number(0, "f")
        if beta != 1:
            value = self._broadcast("Mul", [value, self._known(np.full((), beta, np.float32))])
        return self._emit("Softmax", [value], value.shape, axis=self._axes(value, [-1])[0])

    def _do_cast(self, op: Operator) -> _Value:
        value, kind = self._value(op), self.graph.tensors[op.outputs[0]].type
        return self._emit("Cast", [value], value.shape, to={"FLOAT32": 1, "INT32": 6, "INT64": 7, "BOOL": 9}[kind])

    def _do_dequantize(self, op: Operator) -> _Value:
        """Of constants, which are numbers of fewer bits in the file."""
        tensor = self._tensor(op, 0)
        if tensor.constant is None:
            raise ConvertError(f"input 0: {tensor.label!r} is {tensor.type} computed at run time: {PLAIN}")
        self._spend(tensor.constant.size)
        wide = tensor.constant.astype(np.float32)
        if tensor.type != "FLOAT16":
            if not tensor.scale.size or tensor.zero_point.size != tensor.scale.size:
                raise ConvertError(f"input 0: {tensor.label!r}: {tensor.scale.size} scales, which do not fit")
            along = [1] * wide.ndim
            if tensor.scale.size > 1:
                along[tensor.axis] = tensor.scale.size
            wide = (wide - tensor.zero_point.reshape(along).astype(np.float32)) * tensor.scale.reshape(along)
        return self._known(wide)

    # ---- shapes ----

    def _reduced(self, op: Operator) -> _Value:
        value, keep = self._value(op), bool(self._options(op, 27).number(0, "B"))
        rank = len(value.shape)
        axes = sorted({int(axis) % rank for axis in self._array(op, 1).reshape(-1)})
        image = rank == 4 and not value.constant
        if image and not keep and axes not in ([1, 2], [3], [1, 2, 3]):
            raise ConvertError(f"axes: got {axes}, wanted height and width, or channels")
        kept = [1 if i in axes else n for i, n in enumerate(value.shape)]
        shape = kept if keep else [n for i, n in enumerate(value.shape) if i not in axes]
        if op.kind == "REDUCE_MAX" and image and axes == [1, 2]:
            return self._reshaped(self._emit("GlobalMaxPool", [value], kept), shape)
        over = self._axes(value, axes)
        return self._emit(REDUCTIONS[op.kind], [value], shape, axes=over, keepdims=int(keep))

    def _do_reshape(self, op: Operator) -> _Value:
        value = self._value(op)
        wanted = self._array(op, 1).reshape(-1) if self._has(op, 1) else self._options(op, 17).numbers(0, "<i4")
        sizes = [int(n) for n in wanted[:9]]
        if -1 in sizes:
            at, known = sizes.index(-1), math.prod(n for n in sizes if n != -1)
            sizes[at] = math.prod(value.shape) // max(known, 1)
        return self._reshaped(value, sizes)

    def _do_squeeze(self, op: Operator) -> _Value:
        value = self._value(op)
        rank, given = len(value.shape), self._options(op, 30).numbers(0, "<i4")[:9].tolist()
        axes = [axis % rank for axis in given] or [i for i, n in enumerate(value.shape) if n == 1 and i]
        return self._reshaped(value, [n for i, n in enumerate(value.shape) if i not in axes])

    def _do_expand_dims(self, op: Operator) -> _Value:
        value, axis = self._value(op), int(self._array(op, 1).reshape(-1)[0])
        sizes = list(value.shape)
        sizes.insert(axis % (len(sizes) + 1), 1)
        return self._reshaped(value, sizes)

    def _do_transpose(self, op: Operator) -> _Value:
        value, perm = self._value(op), [int(axis) for axis in self._array(op, 1).reshape(-1)]
        if sorted(perm) != list(range(len(value.shape))):
            raise ConvertError(f"perm: got {perm} of {len(value.shape)} axes")
        shape = [value.shape[axis] for axis in perm]
        if len(perm) == 4 and not value.constant:  # both sides are channels-first in the Net
            perm = [TO_LAST[perm[axis]] for axis in TO_FIRST]
        return self._emit("Transpose", [value], shape, perm=perm)

    def _do_concatenation(self, op: Operator) -> _Value:
        o = self._options(op, 10)
        values = [self._value(op, i) for i in range(len(op.inputs))]
        rank, axis = len(values[0].shape), o.number(0, "i")
        if len({(len(v.shape), v.constant) for v in values}) > 1 or not -rank <= axis < rank:
            raise ConvertError(f"axis {axis} of {[v.shape for v in values]}: wanted values of one rank, no constants")
        shape = list(values[0].shape)
        shape[axis] = sum(value.shape[axis] for value in values)
        for value in values:
            if any(n != m for i, (n, m) in enumerate(zip(value.shape, shape, strict=True)) if i != axis % rank):
                raise ConvertError(f"shapes {[v.shape for v in values]}: wanted equal ones but for axis {axis}")
        return self._fused(self._emit("Concat", values, shape, axis=self._axes(values[0], [axis])[0]), o.number(1, "b"))

    def _do_split(self, op: Operator) -> tuple[_Value, ...]:
        value, axis, parts = self._value(op, 1), int(self._array(op, 0).reshape(-1)[0]), len(op.outputs)
        size = value.shape[axis]
        if not parts or size % parts:
            raise ConvertError(f"num_splits: got {parts}, wanted a divisor of {size}")
        return self._parts(value, axis, [size // parts] * parts)

    def _do_split_v(self, op: Operator) -> tuple[_Value, ...]:
        sizes, axis = self._array(op, 1).reshape(-1).tolist(), int(self._array(op, 2).reshape(-1)[0])
        return self._parts(self._value(op), axis, sizes[: len(op.outputs)])

    def _parts(self, value: _Value, axis: int, sizes: Sequence[int]) -> tuple[_Value, ...]:
        if sum(sizes) != value.shape[axis] or min(sizes, default=0) < 1:
            raise ConvertError(f"sizes: got {list(sizes)}, wanted {value.shape[axis]} in all")
        rank, ends = len(value.shape), np.cumsum(sizes).tolist()
        starts = [end - size for end, size in zip(ends, sizes, strict=True)]
        return tuple(
            self._sliced(value, {axis % rank: (start, end, 1)}) for start, end in zip(starts, ends, strict=True)
        )

    def _sliced(self, value: _Value, cuts: dict[int, tuple[int, int, int]]) -> _Value:
        """From, to and step by axis, all of them within the value."""
        shape = list(value.shape)
        for axis, (start, stop, step) in cuts.items():
            shape[axis] = len(range(start, stop, step))
        if not cuts:
            return value
        columns = [*zip(*cuts.values(), strict=True)]
        starts, stops, steps = (self._known(np.array(column, np.int64)) for column in columns)
        axes = self._known(np.array(self._axes(value, list(cuts)), np.int64))
        return self._emit("Slice", [value, starts, stops, axes, steps], shape)

    def _do_strided_slice(self, op: Operator) -> _Value:
        o, value = self._options(op, 32), self._value(op)
        begin, end, steps = (self._array(op, i).reshape(-1)[:9].tolist() for i in (1, 2, 3))
        begins, ends = o.number(0, "i"), o.number(1, "i")
        if any(o.number(field, "i") for field in (2, 3, 4)) or min(steps, default=1) < 1:
            raise ConvertError("masks: wanted no ellipsis, no new and no dropped axes, and steps from 1")
        cuts = {}
        for axis, (start, stop, step) in enumerate(zip(begin, end, steps, strict=True)):
            first, last = (None if begins >> axis & 1 else start), (None if ends >> axis & 1 else stop)
            cut = slice(first, last, step).indices(value.shape[axis])
            if cut != (0, value.shape[axis], 1):
                cuts[axis] = cut
        return self._sliced(value, cuts)

    def _do_slice(self, op: Operator) -> _Value:
        value = self._value(op)
        begin, sizes = (self._array(op, i).reshape(-1)[:9].tolist() for i in (1, 2))
        cuts = {}
        for axis, (start, size) in enumerate(zip(begin, sizes, strict=True)):
            stop = value.shape[axis] if size == -1 else start + size
            if not 0 <= start < stop <= value.shape[axis]:
                raise ConvertError(f"axis {axis}: got {start} to {stop} of {value.shape[axis]}")
            if (start, stop) != (0, value.shape[axis]):
                cuts[axis] = (start, stop, 1)
        return self._sliced(value, cuts)

    def _do_pad(self, op: Operator) -> _Value:
        value, pads = self._value(op), self._array(op, 1)
        if pads.shape != (len(value.shape), 2) or pads.min(initial=0) < 0:
            raise ConvertError(f"paddings: got shape {pads.shape}, wanted ({len(value.shape)}, 2), numbers from 0")
        shape = [n + before + after for n, (before, after) in zip(value.shape, pads.tolist(), strict=True)]
        order = TO_FIRST if len(shape) == 4 and not value.constant else range(len(shape))
        sides = self._known(pads[list(order)].T.reshape(-1).astype(np.int64))
        outside = [self._value(op, 2)] if self._has(op, 2) else []
        return self._emit("Pad", [value, sides, *outside], shape)

    _do_padv2 = _do_pad

    def _do_resize_nearest_neighbor(self, op: Operator) -> _Value:
        o, value, size = self._options(op, 74), self._image(op), self._array(op, 1).reshape(-1).tolist()
        factors = [n / m for n, m in zip(size, value.shape[1:3], strict=True)]
        if o.number(0, "B") or any(f != int(f) or f < 1 for f in factors):
            raise ConvertError(f"factors: got {factors}, wanted whole ones, and align_corners false")
        scales = self._known(np.array([1, 1, *factors], np.float32))
        return self._emit("Resize", [value, None, scales], (value.shape[0], *size, value.shape[3]))

    def _do_arg_max(self, op: Operator) -> _Value:
        value, axis = self._value(op), int(self._array(op, 1).reshape(-1)[0])
        shape = [n for i, n in enumerate(value.shape) if i != axis % len(value.shape)]
        return self._emit("ArgMax", [value], shape, axis=self._axes(value, [axis])[0], keepdims=0)
