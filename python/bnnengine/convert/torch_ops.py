"""ATen's operators in ONNX's words, by their schemas' arguments (torch.ops.aten)."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bnnengine.convert.ir import Array, Net, Op
from bnnengine.errors import ConvertError

Arguments = dict[str, Any]


class Writer:
    """Puts ATen calls into a net, one after the other."""

    def __init__(self) -> None:
        """Nothing is written yet."""
        self.net = Net({}, [], {}, [], sign_of_zero=0)
        self.path = ""

    def constant(self, name: str, tensor: Any) -> None:
        """A tensor that no operator makes."""
        known = tensor.detach().cpu().contiguous()
        # NumPy has no bfloat16
        self.net.constants[name] = (known.float() if str(known.dtype) == "torch.bfloat16" else known).numpy()

    def call(self, target: Any, args: Sequence[Any], kwargs: dict[str, Any], name: str, path: str) -> None:
        """An operator's call; its value, or values with :0, :1, ... behind it, get the name.

        Raises:
            ConvertError: the operator is not known; the message has the module's path.
        """
        self.path = path
        if target is operator.getitem:
            self.emit("Identity", [f"{self.name(args[0])}:{args[1]}"], name)
            return
        schema = getattr(target, "_schema", None)
        kind = "" if schema is None else schema.name.removeprefix("aten::").rstrip("_")
        if kind in IGNORED:
            return
        if schema is None or kind not in CALLS:
            where = f" in module {path!r}" if path else ""
            raise ConvertError(
                f"node {name!r}: PyTorch's operator {target} is not known{where}: register what stands for that "
                "module (bnnengine.convert.register), or export it to ONNX"
            )
        bound = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}
        bound |= {a.name: value for a, value in zip(schema.arguments, args, strict=False)} | kwargs
        try:
            CALLS[kind](self, bound, name)
        except ConvertError:
            raise
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise ConvertError(f"node {name!r} ({target}): its form is not known: {error!r}") from error

    # ---- values ----

    def name(self, value: Any) -> str:
        """Of a value; a number becomes a constant."""
        if value is None:
            return ""
        if hasattr(value, "name"):
            return str(value.name)
        return self.known(np.float32(value))

    def known(self, value: Any) -> str:
        """A constant of its own."""
        name = f"known_{len(self.net.constants)}"
        self.net.constants[name] = np.asarray(value)
        return name

    def shape(self, value: Any) -> tuple[int, ...]:
        """Of a value, with a batch of 1."""
        return tuple(int(n) for n in (value.meta["val"] if hasattr(value, "meta") else value).shape)

    def array(self, value: Any) -> Array:
        """Of a constant."""
        if self.name(value) not in self.net.constants:
            raise ConvertError(f"in module {self.path!r}: {self.name(value)} is computed, wanted a constant")
        return self.net.constants[self.name(value)]

    def emit(self, kind: str, inputs: Sequence[str], *outputs: str, **attributes: Any) -> None:
        """An operator of the net, named after its output."""
        self.net.ops.append(Op(kind, list(inputs), list(outputs), attributes, outputs[0]))


Call = Callable[[Writer, Arguments, str], None]


def _unary(kind: str, of: str = "self") -> Call:
    return lambda w, a, out: w.emit(kind, [w.name(a[of] if of in a else a["input"])], out)


def _binary(kind: str) -> Call:
    def call(w: Writer, a: Arguments, out: str) -> None:
        other = w.name(a["other"])
        if a.get("alpha", 1) != 1:
            w.emit("Mul", [other, w.known(np.float32(a["alpha"]))], f"{out}.alpha")
            other = f"{out}.alpha"
        w.emit(kind, [w.name(a["self"]), other], out)

    return call


def _rsub(w: Writer, a: Arguments, out: str) -> None:
    _binary("Sub")(w, {"self": a["other"], "other": a["self"], "alpha": a["alpha"]}, out)


def _div(w: Writer, a: Arguments, out: str) -> None:
    if a.get("rounding_mode") not in (None, "floor"):
        raise ConvertError(f"node {out!r}: rounding_mode: got {a['rounding_mode']!r}, wanted None or 'floor'")
    quotient = out if a.get("rounding_mode") is None else f"{out}.quotient"
    w.emit("Div", [w.name(a["self"]), w.name(a["other"])], quotient)
    if quotient != out:
        w.emit("Floor", [quotient], out)


def _round(w: Writer, a: Arguments, out: str) -> None:
    if a.get("decimals"):
        raise ConvertError(f"node {out!r}: decimals: got {a['decimals']}, wanted 0")
    w.emit("Round", [w.name(a["self"])], out)


def _not_equal(w: Writer, a: Arguments, out: str) -> None:
    w.emit("Equal", [w.name(a["self"]), w.name(a["other"])], f"{out}.equal")
    w.emit("Not", [f"{out}.equal"], out)


def _pair(value: Any) -> list[int]:
    found = [int(n) for n in (value if isinstance(value, (list, tuple)) else [value])]
    return found * 2 if len(found) == 1 else found


def _conv(w: Writer, a: Arguments, out: str) -> None:
    if a.get("transposed"):
        raise ConvertError(f"node {out!r}: transposed convolutions have no layer here")
    pads: dict[str, Any] = {}
    if isinstance(a["padding"], str):
        pads["auto_pad"] = {"same": "SAME_UPPER", "valid": "VALID"}[a["padding"]]
    else:
        pads["pads"] = _pair(a["padding"]) * 2
    inputs = [w.name(a.get("input", a.get("self"))), w.name(a["weight"])]
    inputs += [w.name(a["bias"])] if a["bias"] is not None else []
    w.emit(
        "Conv", inputs, out, strides=_pair(a["stride"]), dilations=_pair(a["dilation"]), group=int(a["groups"]), **pads
    )


def _linear(w: Writer, a: Arguments, out: str) -> None:
    inputs = [w.name(a["input"]), w.name(a["weight"])]
    w.emit("Gemm", [*inputs, *([w.name(a["bias"])] if a["bias"] is not None else [])], out, transB=1)


def _addmm(w: Writer, a: Arguments, out: str) -> None:
    inputs = [w.name(a["mat1"]), w.name(a["mat2"]), w.name(a["self"])]
    w.emit("Gemm", inputs, out, alpha=float(a["alpha"]), beta=float(a["beta"]))


def _matmul(w: Writer, a: Arguments, out: str) -> None:
    w.emit("MatMul", [w.name(a["self"]), w.name(a.get("mat2", a.get("other")))], out)


def _batch_norm(w: Writer, a: Arguments, out: str) -> None:
    mean, variance = w.name(a["running_mean"]), w.name(a["running_var"])
    if not mean or not variance or a.get("training"):
        raise ConvertError(f"node {out!r}: a batch norm without statistics, or in training: call eval() first")
    ones = np.ones_like(w.array(a["running_mean"]))
    gamma = w.name(a["weight"]) or w.known(ones)
    beta = w.name(a["bias"]) or w.known(ones * 0)
    value = w.name(a["input"])
    w.emit("BatchNormalization", [value, gamma, beta, mean, variance], out, epsilon=float(a["eps"]))
    w.emit("Identity", [out], f"{out}:0")


def _clip(w: Writer, a: Arguments, out: str) -> None:
    low, high = a.get("min", a.get("min_val")), a.get("max", a.get("max_val"))
    w.emit("Clip", [w.name(a["self"]), w.name(low), w.name(high)], out)


def _relu6(w: Writer, a: Arguments, out: str) -> None:
    w.emit("Clip", [w.name(a["self"]), w.known(np.float32(0)), w.known(np.float32(6))], out)


def _leaky_relu(w: Writer, a: Arguments, out: str) -> None:
    w.emit("LeakyRelu", [w.name(a["self"])], out, alpha=float(a["negative_slope"]))


def _prelu(w: Writer, a: Arguments, out: str) -> None:
    slope, rank = w.name(a["weight"]), len(w.shape(a["self"]))
    given = w.net.constants.get(slope)
    if given is not None and given.ndim == 1 and given.size > 1:
        slope = w.known(given.reshape(-1, *[1] * (rank - 2)))
    w.emit("PRelu", [w.name(a["self"]), slope], out)


def _silu(w: Writer, a: Arguments, out: str) -> None:
    w.emit("Sigmoid", [w.name(a["self"])], f"{out}.gate")
    w.emit("Mul", [w.name(a["self"]), f"{out}.gate"], out)


def _gelu(w: Writer, a: Arguments, out: str) -> None:
    w.emit("Gelu", [w.name(a["self"])], out, approximate=str(a["approximate"]))


def _hard_sigmoid(w: Writer, a: Arguments, out: str) -> None:
    w.emit("HardSigmoid", [w.name(a["self"])], out, alpha=1 / 6, beta=0.5)


def _softmax(w: Writer, a: Arguments, out: str) -> None:
    w.emit("Softmax", [w.name(a["self"])], out, axis=int(a["dim"]))


def _where(w: Writer, a: Arguments, out: str) -> None:
    w.emit("Where", [w.name(a["condition"]), w.name(a["self"]), w.name(a["other"])], out)


def _reduce(kind: str) -> Call:
    def call(w: Writer, a: Arguments, out: str) -> None:
        axes = a.get("dim")
        axes = list(range(len(w.shape(a["self"])))) if axes is None else np.atleast_1d(axes).tolist()
        w.emit(kind, [w.name(a["self"])], out, axes=axes, keepdims=int(bool(a.get("keepdim", False))))

    return call


def _norm(w: Writer, a: Arguments, out: str) -> None:
    if a["ord"] != 1:
        raise ConvertError(f"node {out!r}: a norm of order {a['ord']}: wanted 1, the sum of magnitudes")
    _reduce("ReduceL1")(w, a, out)


def _extreme(kind: str) -> Call:
    return lambda w, a, out: w.emit(kind, [w.name(a["self"]), w.name(a["other"])], out)


def _max_pool(w: Writer, a: Arguments, out: str) -> None:
    _pool(w, a, out, "MaxPool")
    w.emit("Identity", [out], f"{out}:0")


def _average_pool(w: Writer, a: Arguments, out: str) -> None:
    if a.get("divisor_override") is not None:
        raise ConvertError(f"node {out!r}: divisor_override: got {a['divisor_override']}, wanted None")
    _pool(w, a, out, "AveragePool", count_include_pad=int(bool(a["count_include_pad"])))


def _pool(w: Writer, a: Arguments, out: str, kind: str, **more: Any) -> None:
    kernel = _pair(a["kernel_size"])
    if any(n != 1 for n in _pair(a.get("dilation", 1))):
        raise ConvertError(f"node {out!r}: dilation: got {a['dilation']}, wanted 1")
    strides = _pair(a["stride"]) if a.get("stride") else kernel
    w.emit(
        kind, [w.name(a["self"])], out, kernel_shape=kernel, strides=strides, pads=_pair(a["padding"]) * 2,
        ceil_mode=int(bool(a["ceil_mode"])), **more,
    )  # fmt: skip


def _adaptive_pool(w: Writer, a: Arguments, out: str) -> None:
    sizes, (rows, columns) = _pair(a["output_size"]), w.shape(a["self"])[2:]
    if rows % sizes[0] or columns % sizes[1]:
        raise ConvertError(f"node {out!r}: output_size: got {sizes}, wanted divisors of {rows} x {columns}")
    if sizes == [1, 1]:
        w.emit("GlobalAveragePool", [w.name(a["self"])], out)
        return
    kernel = [rows // sizes[0], columns // sizes[1]]
    w.emit("AveragePool", [w.name(a["self"])], out, kernel_shape=kernel, strides=kernel)


def _flatten(w: Writer, a: Arguments, out: str) -> None:
    shape = w.shape(a["self"])
    start, end = (int(a[key]) % len(shape) for key in ("start_dim", "end_dim"))
    flat = (*shape[:start], int(np.prod(shape[start : end + 1])), *shape[end + 1 :])
    w.emit("Reshape", [w.name(a["self"]), w.known(np.array(flat, np.int64))], out)


def _view(w: Writer, a: Arguments, out: str) -> None:
    shape = a["size" if "size" in a else "shape"]
    w.emit("Reshape", [w.name(a["self"]), w.known(np.array([int(n) for n in shape], np.int64))], out)


def _squeeze(w: Writer, a: Arguments, out: str) -> None:
    shape, given = w.shape(a["self"]), a.get("dim")
    axes = range(1, len(shape)) if given is None else [n % len(shape) for n in np.atleast_1d(given)]
    w.emit("Squeeze", [w.name(a["self"])], out, axes=[int(n) for n in axes if shape[n] == 1])


def _unsqueeze(w: Writer, a: Arguments, out: str) -> None:
    w.emit("Unsqueeze", [w.name(a["self"])], out, axes=[int(a["dim"])])


def _permute(w: Writer, a: Arguments, out: str) -> None:
    rank = len(w.shape(a["self"]))
    w.emit("Transpose", [w.name(a["self"])], out, perm=[int(n) % rank for n in a["dims"]])


def _transpose(w: Writer, a: Arguments, out: str) -> None:
    order = list(range(len(w.shape(a["self"]))))
    first, second = (0, 1) if "dim0" not in a else (int(a["dim0"]), int(a["dim1"]))
    order[first], order[second] = order[second], order[first]
    w.emit("Transpose", [w.name(a["self"])], out, perm=order)


def _cat(w: Writer, a: Arguments, out: str) -> None:
    w.emit("Concat", [w.name(value) for value in a["tensors"]], out, axis=int(a["dim"]))


def _split(w: Writer, a: Arguments, out: str) -> None:
    axis = int(a["dim"])
    size, given = w.shape(a["self"])[axis], a.get("split_sizes", a.get("split_size"))
    if given is None:
        given = -(-size // int(a["chunks"]))
    sizes = list(given) if isinstance(given, (list, tuple)) else [min(given, size - k) for k in range(0, size, given)]
    parts = [f"{out}:{k}" for k in range(len(sizes))]
    w.emit("Split", [w.name(a["self"]), w.known(np.array(sizes, np.int64))], *parts, axis=axis)


def _slice(w: Writer, a: Arguments, out: str) -> None:
    axis = int(a["dim"])
    start, stop = a["start"] or 0, a["end"]
    bounds = (start, w.shape(a["self"])[axis] if stop is None else stop, axis, a["step"])
    most = np.iinfo(np.int64).max
    if axis == 0 and a["step"] == 1 and start == 0 and (stop is None or stop >= most):
        w.emit("Identity", [w.name(a["self"])], out)
        return
    if axis == 0:
        raise ConvertError(f"node {out!r}: a slice of the batch: got [{start}:{stop}], wanted all of its samples")
    known = [w.known(np.array([min(int(n), most)], np.int64)) for n in bounds]
    w.emit("Slice", [w.name(a["self"]), *known], out)


def _pad(w: Writer, a: Arguments, out: str) -> None:
    if a.get("mode", "constant") != "constant":
        raise ConvertError(f"node {out!r}: mode: got {a['mode']!r}, wanted 'constant'")
    rank, given = len(w.shape(a["self"])), [int(n) for n in a["pad"]]
    before, behind = [0] * rank, [0] * rank
    for k in range(0, len(given), 2):  # the last axis first
        before[rank - 1 - k // 2], behind[rank - 1 - k // 2] = given[k], given[k + 1]
    value = w.known(np.float32(a.get("value") or 0))
    w.emit("Pad", [w.name(a["self"]), w.known(np.array(before + behind, np.int64)), value], out)


def _expand(w: Writer, a: Arguments, out: str) -> None:
    shape = w.shape(a["self"])
    wanted = w.shape(a["other"]) if "other" in a else tuple(int(n) for n in a["size"])
    behind = (1,) * (len(wanted) - len(shape)) + shape
    sizes = [old if new == -1 else new for old, new in zip(behind, wanted, strict=True)]
    w.emit("Expand", [w.name(a["self"]), w.known(np.array(sizes, np.int64))], out)


def _select(w: Writer, a: Arguments, out: str) -> None:
    w.emit("Gather", [w.name(a["self"]), w.known(np.int64(a["index"]))], out, axis=int(a["dim"]))


def _full_like(value: float | None) -> Call:
    """One number, which takes no memory however often it stands there."""

    def call(w: Writer, a: Arguments, out: str) -> None:
        number = np.float32(a["fill_value"] if value is None else value)
        w.net.constants[out] = np.broadcast_to(number, w.shape(a["self"]))

    return call


def _number(w: Writer, a: Arguments, out: str) -> None:
    w.net.constants[out] = np.asarray(a["s"], np.float32)


def _cast(w: Writer, a: Arguments, out: str) -> None:
    kind = str(a.get("dtype", ""))
    known = {"torch.float32": 1, "torch.float64": 1, "torch.int64": 7, "torch.bool": 9, "None": 1, "": 1}
    if kind not in known:
        raise ConvertError(f"node {out!r}: dtype: got {kind}, wanted float32: call float() first")
    w.emit(
        "Cast" if known[kind] != 1 or kind == "torch.float32" else "Identity", [w.name(a["self"])], out, to=known[kind]
    )


def _power(w: Writer, a: Arguments, out: str) -> None:
    w.emit("Pow", [w.name(a["self"]), w.name(a["exponent"])], out)


def _rsqrt(w: Writer, a: Arguments, out: str) -> None:
    w.emit("Sqrt", [w.name(a["self"])], f"{out}.root")
    w.emit("Reciprocal", [f"{out}.root"], out)


def _upsample(w: Writer, a: Arguments, out: str) -> None:
    rows, columns = w.shape(a.get("input", a.get("self")))[2:]
    sizes, scales = a.get("output_size"), a.get("scale_factors")
    factors = list(scales or ()) if sizes is None else [sizes[0] / rows, sizes[1] / columns]
    name = w.name(a.get("input", a.get("self")))
    w.emit("Resize", [name, "", w.known(np.array([1, 1, *factors], np.float32))], out, mode="nearest")


def _arg_max(w: Writer, a: Arguments, out: str) -> None:
    w.emit("ArgMax", [w.name(a["self"])], out, axis=int(a["dim"]), keepdims=int(bool(a["keepdim"])))


def _top_k(w: Writer, a: Arguments, out: str) -> None:
    k = w.known(np.array([int(a["k"])], np.int64))
    w.emit("TopK", [w.name(a["self"]), k], f"{out}:0", f"{out}:1", axis=int(a["dim"]), largest=int(bool(a["largest"])))


def _layer_norm(w: Writer, a: Arguments, out: str) -> None:
    if len(a["normalized_shape"]) != 1:
        raise ConvertError(f"node {out!r}: normalized_shape: got {a['normalized_shape']}, wanted the last axis alone")
    channels = int(a["normalized_shape"][0])
    gamma = w.name(a["weight"]) or w.known(np.ones(channels, np.float32))
    beta = w.name(a["bias"]) or w.known(np.zeros(channels, np.float32))
    w.emit("LayerNormalization", [w.name(a["input"]), gamma, beta], out, axis=-1, epsilon=float(a["eps"]))
    w.emit("Identity", [out], f"{out}:0")


def _shuffle(w: Writer, a: Arguments, out: str) -> None:
    w.emit("ChannelShuffle", [w.name(a["self"])], out, groups=int(a["groups"]))


IGNORED = {"_assert_tensor_metadata", "_assert_scalar", "sym_size", "empty"}
SAME = ("alias", "clone", "contiguous", "detach", "dropout", "feature_dropout", "lift_fresh", "lift_fresh_copy")
CALLS: dict[str, Call] = {
    **{kind: _unary("Identity") for kind in SAME},
    **{kind.lower(): _unary(kind) for kind in (
        "Abs", "Ceil", "Erf", "Exp", "Floor", "HardSwish", "Log", "Neg", "Reciprocal", "Relu", "Sigmoid", "Sign",
        "Sqrt", "Tanh")},
    "_adaptive_avg_pool2d": _adaptive_pool, "_native_batch_norm_legit_no_training": _batch_norm,
    "_prelu_kernel": _prelu, "_softmax": _softmax, "_to_copy": _cast, "_unsafe_view": _view,
    "adaptive_avg_pool2d": _adaptive_pool, "add": _binary("Add"), "addmm": _addmm, "argmax": _arg_max,
    "avg_pool2d": _average_pool, "batch_norm": _batch_norm, "bitwise_not": _unary("Not"), "cat": _cat,
    "channel_shuffle": _shuffle, "chunk": _split, "clamp": _clip, "clamp_max": _clip, "clamp_min": _clip,
    "copy": _unary("Identity", "src"),
    "constant_pad_nd": _pad, "conv2d": _conv, "convolution": _conv, "div": _div, "eq": _binary("Equal"),
    "expand": _expand, "expand_as": _expand,
    "broadcast_to": _expand, "select": _select, "flatten": _flatten,
    "full_like": _full_like(None), "ge": _binary("GreaterOrEqual"), "gelu": _gelu,
    "gt": _binary("Greater"), "hardsigmoid": _hard_sigmoid, "hardtanh": _clip, "layer_norm": _layer_norm,
    "le": _binary("LessOrEqual"), "leaky_relu": _leaky_relu, "linalg_vector_norm": _norm, "linear": _linear,
    "logical_not": _unary("Not"), "lt": _binary("Less"), "matmul": _matmul, "max_pool2d": _max_pool,
    "max_pool2d_with_indices": _max_pool, "maximum": _extreme("Max"), "mean": _reduce("ReduceMean"),
    "minimum": _extreme("Min"), "mm": _matmul, "mul": _binary("Mul"), "native_batch_norm": _batch_norm,
    "native_layer_norm": _layer_norm, "ne": _not_equal, "ones_like": _full_like(1.0), "pad": _pad,
    "permute": _permute, "pow": _power, "prelu": _prelu, "relu6": _relu6, "reshape": _view, "round": _round,
    "rsqrt": _rsqrt, "rsub": _rsub, "scalar_tensor": _number, "sgn": _unary("Sign"), "silu": _silu, "slice": _slice,
    "softmax": _softmax, "split": _split, "split_with_sizes": _split, "squeeze": _squeeze, "sub": _binary("Sub"),
    "sum": _reduce("ReduceSum"),
    "t": _transpose, "to": _cast, "topk": _top_k, "transpose": _transpose, "unsqueeze": _unsqueeze,
    "upsample_nearest2d": _upsample, "view": _view, "where": _where, "zeros_like": _full_like(0.0),
}  # fmt: skip
