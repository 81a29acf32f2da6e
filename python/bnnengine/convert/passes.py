"""What makes a foreign graph plain: constants folded, and signs found by what they compute, not by their names."""

from __future__ import annotations

import numpy as np

from bnnengine.convert.ir import KINDS, Array, Net, Op, evaluate, trace
from bnnengine.errors import ConvertError

KNOWN = {*KINDS, "Constant", "Dropout"}
MOST_FOLDED = 1 << 28  # numbers in a folded constant


def fold_constants(net: Net) -> None:
    """Evaluates what depends on constants alone, shapes of inputs among them."""
    shapes = {name: np.array([n or 1 for n in shape], np.int64) for name, shape in net.inputs.items()}
    kept = []
    for op in net.ops:
        if op.kind == "Shape" and op.inputs[0] in shapes:
            net.constants[op.outputs[0]] = shapes[op.inputs[0]]
        elif op.kind == "Constant":
            net.constants[op.outputs[0]] = np.asarray(op.attributes["value"])
        elif op.kind != "Expand" and op.inputs and all(not name or name in net.constants for name in op.inputs):
            args = [net.constants[name] if name else None for name in op.inputs]
            if sum(a.size for a in args if a is not None) > MOST_FOLDED:
                raise ConvertError(f"node {op.name!r} ({op.kind}): its constants are too large")
            net.constants.update(zip(op.outputs, evaluate(op, args), strict=False))
        else:
            kept.append(op)
    net.ops = kept


def drop_identities(net: Net) -> None:
    """Removes what hands its input on: Identity, Dropout, Cast to float, and Expand of a constant, which broadcasts."""
    names: dict[str, str] = {}
    kept = []
    for op in net.ops:
        op.inputs = [names.get(name, name) for name in op.inputs]
        expands = op.kind == "Expand" and op.inputs[0] in net.constants
        if op.kind in ("Identity", "Dropout") or expands or (op.kind == "Cast" and op.attributes.get("to") in (1, 11)):
            names[op.outputs[0]] = op.inputs[0]
        else:
            kept.append(op)
    net.ops = kept
    net.outputs = [names.get(name, name) for name in net.outputs]


COMPARISONS = ("Greater", "GreaterOrEqual", "Less", "LessOrEqual")


def _compared(net: Net, made: dict[str, Op], name: str) -> tuple[str, Array, bool] | None:
    """Of a comparison with constants: its value x and a level t, and whether it says x >= t, not its opposite."""
    op = made.get(name)
    negated = False
    while op is not None and op.kind in ("Not", "Cast"):
        negated ^= op.kind == "Not"
        op = made.get(op.inputs[0])
    if op is None or op.kind not in COMPARISONS:
        return None
    kind, (x, t) = op.kind, op.inputs
    if x in net.constants:  # t < x is x > t
        x, t = t, x
        kind = {"Greater": "Less", "Less": "Greater"}.get(kind) or {"GreaterOrEqual": "LessOrEqual"}.get(
            kind, "GreaterOrEqual"
        )
    if t not in net.constants or x in net.constants:
        return None
    level = net.constants[t].astype(np.float32)
    if kind in ("Greater", "LessOrEqual"):  # x > t is x >= the next float32
        level = np.nextafter(level, np.float32(np.inf))
    return x, level, (kind in ("Greater", "GreaterOrEqual")) ^ negated


def _constants_are(net: Net, names: list[str], *wanted: float) -> bool:
    """Whether these values are constants that hold just these numbers."""
    return all(n in net.constants and bool((net.constants[n] == w).all()) for n, w in zip(names, wanted, strict=True))


def _becomes(net: Net, op: Op, kind: str, x: str, level: Array) -> None:
    """The operator compares with a level of its own."""
    name = f"{op.outputs[0]}.level"
    net.constants[name] = level
    op.kind, op.inputs, op.attributes = kind, [x, name], {}


def find_compared_signs(net: Net) -> None:
    """`Where(x >= t, 1, -1)` is the sign of `x - t`, and `Where(x >= t, 1, 0)` a step; so for >, <, <=."""
    made = {op.outputs[0]: op for op in net.ops}
    for op in net.ops:
        found = _compared(net, made, op.inputs[0]) if op.kind == "Where" else None
        if found is None:
            continue
        x, level, above = found
        both = op.inputs[1:] if above else op.inputs[:0:-1]
        if _constants_are(net, both, 1, -1):
            _becomes(net, op, "Binarize", x, level)
        elif _constants_are(net, both, 1, 0):
            _becomes(net, op, "Step", x, level)


def find_counted_signs(net: Net) -> None:
    """`(x >= t) * 2 - 1` is the sign of `x - t`."""
    made = {op.outputs[0]: op for op in net.ops}
    for op in net.ops:
        if op.kind not in ("Sub", "Add") or not _constants_are(net, op.inputs[1:], 1 if op.kind == "Sub" else -1):
            continue
        twice = made.get(op.inputs[0])
        if twice is None or twice.kind != "Mul":
            continue
        for value, two in (twice.inputs, twice.inputs[::-1]):
            found = _compared(net, made, value) if _constants_are(net, [two], 2) else None
            if found is not None and found[2]:
                _becomes(net, op, "Binarize", *found[:2])
                break


def find_steps(net: Net) -> None:
    """Activations of 0 and 1: a comparison made a number, or DoReFa-Net's `round(clip(x, 0, 1))` (arXiv:1606.06160)."""
    made = {op.outputs[0]: op for op in net.ops}
    for op in net.ops:
        if op.kind == "Cast" and op.attributes.get("to") in (1, 11):
            found = _compared(net, made, op.inputs[0])
            if found is not None and found[2]:
                _becomes(net, op, "Step", *found[:2])
        clip = made.get(op.inputs[0]) if op.kind == "Round" else None
        if clip is not None and clip.kind == "Clip" and _limits(net, clip) == (0, 1):
            # 0.5 is rounded to even, which is 0
            _becomes(net, op, "Step", clip.inputs[0], np.nextafter(np.float32(0.5), np.float32(1)).reshape(()))


def find_one_bit_quantizers(net: Net) -> None:
    """QONNX's Quant and MultiThreshold where they have two levels: a step, scaled and shifted."""
    kept = []
    for op in net.ops:
        found = None
        if op.kind == "MultiThreshold" and net.constants.get(op.inputs[1], np.zeros((1, 0))).shape[1:] == (1,):
            level = net.constants[op.inputs[1]].reshape(-1)
            found = level, op.attributes.get("out_scale", 1.0), op.attributes.get("out_bias", 0.0)
        elif op.kind == "Quant" and all(name in net.constants for name in op.inputs[1:4]):
            scale, zero, bits = (net.constants[name].reshape(-1) for name in op.inputs[1:4])
            plain = op.attributes.get("rounding_mode", b"ROUND") in (b"ROUND", "ROUND") and not zero.any()
            if (bits == 1).all() and plain and scale.size == 1 and not op.attributes.get("signed", 1):
                # half a scale is rounded to even, which is 0
                found = np.nextafter(scale.astype(np.float32) / 2, np.float32(np.inf)), float(scale[0]), 0.0
        if found is None:
            kept.append(op)
            continue
        level, by, offset = found
        name = op.outputs[0]
        net.constants[f"{name}.level"], how = level.astype(np.float32), {"per_channel": level.size > 1}
        if (by, offset) == (2, -1):
            kept.append(Op("Binarize", [op.inputs[0], f"{name}.level"], [name], how, op.name))
            continue
        net.constants |= {f"{name}.scale": np.float32(by).reshape(()), f"{name}.offset": np.float32(offset).reshape(())}
        kept += [
            Op("Step", [op.inputs[0], f"{name}.level"], [f"{name}.step"], how, op.name),
            Op("Mul", [f"{name}.step", f"{name}.scale"], [f"{name}.scaled"], {}, op.name),
            Op("Add", [f"{name}.scaled", f"{name}.offset"], [name], {}, op.name),
        ]
    net.ops = kept


def drop_neutral(net: Net) -> None:
    """Products with 1 and sums with 0 hand their input on."""
    for op in net.ops:
        if op.kind not in ("Mul", "Add") or len(op.inputs) != 2:
            continue
        for value, constant in (op.inputs, op.inputs[::-1]):
            if value not in net.constants and _constants_are(net, [constant], 1 if op.kind == "Mul" else 0):
                if net.constants[constant].size == 1:
                    op.kind, op.inputs, op.attributes = "Identity", [value], {}
                break


def expand_bipolar_quantizers(net: Net) -> None:
    """BipolarQuant with a scale: a sign, scaled. QONNX's sign of 0 is +1."""
    kept = []
    for op in net.ops:
        scale = net.constants.get(op.inputs[1]) if op.kind == "BipolarQuant" else None
        if scale is None or scale.size != 1 or scale.reshape(-1)[0] in (0, 1) or (scale < 0).any():
            kept.append(op)
            continue
        name = op.outputs[0]
        net.constants |= {f"{name}.scale": scale.reshape(()), f"{name}.one": np.ones((), np.float32)}
        kept.append(Op("BipolarQuant", [op.inputs[0], f"{name}.one"], [f"{name}.sign"], {}, op.name))
        kept.append(Op("Mul", [f"{name}.sign", f"{name}.scale"], [name], {}, op.name))
    net.ops = kept


def _scaled(net: Net, op: Op | None) -> tuple[str, Array] | None:
    """Of a product with one constant number above 0: the value and the number."""
    if op is None or op.kind != "Mul" or len(op.inputs) != 2:
        return None
    for value, name in (op.inputs, op.inputs[::-1]):
        scale = net.constants.get(name)
        if scale is not None and value not in net.constants and scale.size == 1 and (scale > 0).all():
            return value, scale.reshape(())
    return None


def absorb_input_scales(net: Net) -> None:
    """A scale on activations goes past what moves them, and into the weights: what is left are signs."""
    made: dict[str, Op] = {}
    kept: list[Op] = []
    for op in net.ops:
        found = _scaled(net, made.get(op.inputs[0])) if op.inputs else None
        if found is not None and op.kind in ("MaxPool", "Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze"):
            (value, scale), name = found, op.outputs[0]
            net.constants[f"{name}.scale"] = scale
            moved = Op(op.kind, [value, *op.inputs[1:]], [f"{name}.unscaled"], op.attributes, op.name)
            op = Op("Mul", [f"{name}.unscaled", f"{name}.scale"], [name], {}, op.name)
            kept.append(moved)
        elif found is not None and op.kind in ("Conv", "MatMul", "Gemm") and not op.attributes.get("pad_value"):
            weight = net.constants.get(op.inputs[1])
            if weight is not None:
                name = f"{op.outputs[0]}.weight"
                net.constants[name] = weight * found[1].astype(np.float32)
                op.inputs = [found[0], name, *op.inputs[2:]]
        kept.append(op)
        made.update((name, op) for name in op.outputs)
    net.ops = kept


def refuse_unknown(net: Net) -> None:
    """Names every operator that nobody here knows, before any of it is computed."""
    unknown = [f"node {op.name!r}: operator {op.kind} is not known" for op in net.ops if op.kind not in KNOWN]
    if unknown:
        raise ConvertError("; ".join([*unknown, "docs/convert.md lists what is taken"]))


def _limits(net: Net, clip: Op) -> tuple[float, float]:
    """Of a Clip by constants."""
    found = []
    for i, (key, none) in enumerate((("min", -np.inf), ("max", np.inf)), 1):
        given = net.constants.get(clip.inputs[i]) if len(clip.inputs) > i and clip.inputs[i] else None
        found.append(float(given.reshape(-1)[0]) if given is not None else float(clip.attributes.get(key, none)))
    return found[0], found[1]


def expand_sums(net: Net) -> None:
    """Sum of several values: additions of two."""
    kept = []
    for op in net.ops:
        if op.kind != "Sum":
            kept.append(op)
            continue
        total = op.inputs[0]
        for k, name in enumerate(op.inputs[1:], 2):
            made = op.outputs[0] if k == len(op.inputs) else f"{op.outputs[0]}.{k}"
            kept.append(Op("Add", [total, name], [made], {}, op.name))
            total = made
        if len(op.inputs) == 1:
            kept.append(Op("Identity", op.inputs, op.outputs, {}, op.name))
    net.ops = kept


def find_channel_shuffles(net: Net) -> None:
    """Channels as (groups, C / groups), swapped, and flat again (ShuffleNet, arXiv:1707.01083)."""
    made = {op.outputs[0]: op for op in net.ops}
    for op in net.ops:
        swap = made.get(op.inputs[0]) if op.kind == "Reshape" else None
        cut = made.get(swap.inputs[0]) if swap is not None and swap.kind == "Transpose" else None
        if swap is None or cut is None or cut.kind != "Reshape" or swap.attributes.get("perm") != [0, 2, 1, 3, 4]:
            continue
        parts, whole = (net.constants.get(o.inputs[1]) for o in (cut, op))
        if parts is not None and whole is not None and parts.size == 5 and whole.size == 4:
            op.kind, op.inputs, op.attributes = "ChannelShuffle", [cut.inputs[0]], {"groups": int(parts[1])}


def fix_shapes(net: Net) -> None:
    """Shapes that are read off values: constants, since the input's shape is known. The batch counts as 1."""
    if not any(op.kind == "Shape" for op in net.ops):
        return
    shapes = {name: (1, *shape[1:]) for name, shape in net.inputs.items()}
    if any(min(shape) < 1 or np.prod(shape, dtype=np.float64) > MOST_FOLDED for shape in shapes.values()):
        raise ConvertError(f"inputs: got shapes {shapes}, wanted every size but the batch's from 1, and fewer numbers")
    values = trace(net, {name: np.zeros(shape, np.float32) for name, shape in shapes.items()})
    for op in net.ops:
        if op.kind == "Shape":
            net.constants[op.outputs[0]] = values[op.outputs[0]]
    net.ops = [op for op in net.ops if op.kind != "Shape"]
    fold_constants(net)


def _padding(net: Net, pad: Op) -> tuple[Array, float] | None:
    """Top, left, bottom and right of an image that is padded with a constant, and that."""
    if pad.attributes.get("mode", b"constant") not in (b"constant", "constant"):
        return None
    given = net.constants.get(pad.inputs[1]) if len(pad.inputs) > 1 else np.asarray(pad.attributes.get("pads", ()))
    value = np.asarray(pad.attributes.get("value", 0.0))
    if len(pad.inputs) > 2 and pad.inputs[2]:
        value = net.constants.get(pad.inputs[2], np.zeros(0))
    if given is None or given.size != 8 or value.size != 1 or given[[0, 1, 4, 5]].any() or (given < 0).any():
        return None
    return given[[2, 3, 6, 7]], float(value.reshape(-1)[0])


def merge_pads(net: Net) -> None:
    """A convolution or pool of a padded image pads by itself, where its kernel reaches over the border."""
    made = {op.outputs[0]: op for op in net.ops}
    for op in net.ops:
        pad = made.get(op.inputs[0]) if op.kind in ("Conv", "MaxPool", "AveragePool") else None
        found = _padding(net, pad) if pad is not None and pad.kind == "Pad" else None
        if pad is None or found is None or op.attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", "NOTSET"):
            continue
        sides, value = found
        own = np.asarray(op.attributes.get("pads", [0, 0, 0, 0]))
        kernel = net.constants[op.inputs[1]].shape[2:] if op.inputs[1:2] else op.attributes.get("kernel_shape", (0, 0))
        if len(kernel) != 2 or ((own + sides).reshape(2, 2) >= np.asarray(kernel)).any():
            continue
        if op.kind == "Conv" and value in (0, 1, -1) and (value == 0 or not own.any()):
            op.attributes["pad_value"] = value
        elif op.kind == "AveragePool" and value == 0 and (op.attributes.get("count_include_pad") or not own.any()):
            op.attributes["count_include_pad"] = 1
        elif op.kind != "MaxPool" or value > np.finfo(np.float32).min:
            continue
        op.attributes["pads"] = [int(n) for n in own + sides]
        op.inputs = [pad.inputs[0], *op.inputs[1:]]


def _channel_pads(net: Net, pad: Op | None) -> tuple[int, int] | None:
    """Channels of zeros before and behind those of an image."""
    if pad is None or pad.kind != "Pad" or pad.attributes.get("mode", b"constant") not in (b"constant", "constant"):
        return None
    given = net.constants.get(pad.inputs[1]) if len(pad.inputs) > 1 else np.asarray(pad.attributes.get("pads", ()))
    fill = net.constants.get(pad.inputs[2]) if len(pad.inputs) > 2 and pad.inputs[2] else pad.attributes.get("value", 0)
    if given is None or fill is None or np.any(fill) or given.size != 8 or given[[0, 2, 3, 4, 6, 7]].any():
        return None
    before, behind = int(given[1]), int(given[5])
    return (before, behind) if min(before, behind) >= 0 and before + behind else None


def split_padded_sums(net: Net) -> None:
    """`x + pad(y)` with channels of zeros adds to some channels of x and leaves the others (MeliusNet, ResNet's A)."""
    made = {op.outputs[0]: op for op in net.ops}
    kept = []
    for op in net.ops:
        found = []
        if op.kind == "Add":
            pairs = (op.inputs, op.inputs[::-1])
            found = [(x, made[p], pads) for x, p in pairs if (pads := _channel_pads(net, made.get(p)))]
        if not found or found[0][0] in net.constants:
            kept.append(op)
            continue
        (x, pad, (before, behind)), name, most = found[0], op.outputs[0], np.iinfo(np.int64).max
        net.constants[f"{name}.axis"] = np.array([1])
        for part, start, stop in (("first", 0, before), ("middle", before, -behind or most), ("last", -behind, most)):
            net.constants |= {f"{name}.{part}.start": np.array([start]), f"{name}.{part}.stop": np.array([stop])}
            cut = [x, f"{name}.{part}.start", f"{name}.{part}.stop", f"{name}.axis"]
            if part == "middle" or (before if part == "first" else behind):
                kept.append(Op("Slice", cut, [f"{name}.{part}"], {}, op.name))
        kept.append(Op("Add", [f"{name}.middle", pad.inputs[0]], [f"{name}.sum"], {}, op.name))
        parts = [f"{name}.first"] * bool(before) + [f"{name}.sum"] + [f"{name}.last"] * bool(behind)
        kept.append(Op("Concat", parts, [name], {"axis": 1}, op.name))
    net.ops = kept


def _channels(net: Net, op: Op | None) -> tuple[str, int, int] | None:
    """Of a slice of channels alone: of which value, from and to."""
    if op is None or op.kind != "Slice" or len(op.inputs) < 4:
        return None
    bounds = [net.constants.get(name, np.zeros(0)).reshape(-1) for name in op.inputs[1:]]
    if any(bound.size != 1 for bound in bounds) or bounds[2][0] != 1 or (len(bounds) > 3 and bounds[3][0] != 1):
        return None
    return op.inputs[0], int(bounds[0][0]), int(bounds[1][0])


def merge_groups(net: Net) -> None:
    """Slices of channels, a convolution of each, and a concatenation of them: a grouped convolution."""
    made = {name: op for op in net.ops for name in op.outputs}
    kept = []
    for op in net.ops:
        convs = [made.get(name) for name in op.inputs] if op.kind == "Concat" and op.attributes.get("axis") == 1 else []
        found = [conv for conv in convs if conv is not None and convs[0] is not None and _alike(net, conv, convs[0])]
        parts = [_channels(net, made.get(conv.inputs[0])) for conv in found]
        if len(found) == len(convs) > 1 and parts[0] is not None:
            value, _, step = parts[0]
            if parts == [(value, k * step, (k + 1) * step) for k in range(len(parts))]:
                kept += _grouped(net, op, found, value, step)
                continue
        kept.append(op)
    net.ops = kept


def _grouped(net: Net, concat: Op, convs: list[Op], value: str, step: int) -> list[Op]:
    """The first `step` channels for each convolution, and one convolution of them all."""
    name = concat.outputs[0]
    bounds = {"from": 0, "to": step * len(convs), "axis": 1}
    net.constants |= {f"{name}.{key}": np.array([n], np.int64) for key, n in bounds.items()}
    operands = [f"{name}.{key}" for key in ("weight", "bias")][: len(convs[0].inputs) - 1]
    for i, operand in enumerate(operands, 1):
        net.constants[operand] = np.concatenate([net.constants[conv.inputs[i]] for conv in convs])
    return [
        Op("Slice", [value, *(f"{name}.{key}" for key in bounds)], [f"{name}.parts"], {}, concat.name),
        Op("Conv", [f"{name}.parts", *operands], [name], {**convs[0].attributes, "group": len(convs)}, concat.name),
    ]


def _alike(net: Net, conv: Op, other: Op) -> bool:
    """Whether both are convolutions of one form with constant weights, without groups of their own."""
    if (conv.kind, other.kind) != ("Conv", "Conv") or len(conv.inputs) != len(other.inputs):
        return False
    if not all(name in net.constants for name in (*conv.inputs[1:], *other.inputs[1:])):
        return False
    pairs = zip(conv.inputs[1:], other.inputs[1:], strict=True)
    shapes = all(net.constants[a].shape == net.constants[b].shape for a, b in pairs)
    return shapes and conv.attributes.get("group", 1) == 1 and str(conv.attributes) == str(other.attributes)


def drop_straight_through(net: Net) -> None:
    """`(s - g) + g`, which training adds for its gradient, is `s` (Bi-Real Net, ReActNet and others export it)."""
    made = {op.outputs[0]: op for op in net.ops}
    for op in net.ops:
        if op.kind != "Add":
            continue
        for first, second in (op.inputs, op.inputs[::-1]):
            sub = made.get(first)
            if sub is not None and sub.kind == "Sub" and _same(made, sub.inputs[1], second):
                op.kind, op.inputs = "Identity", [sub.inputs[0]]
                break


def _same(made: dict[str, Op], a: str, b: str, depth: int = 40) -> bool:
    """Whether two values are one, or are computed alike from the same ones."""
    if a == b:
        return True
    x, y = made.get(a), made.get(b)
    if x is None or y is None or not depth or x.kind != y.kind or len(x.inputs) != len(y.inputs):
        return False
    if str(x.attributes) != str(y.attributes):
        return False
    return all(_same(made, p, q, depth - 1) for p, q in zip(x.inputs, y.inputs, strict=True))


def drop_unread(net: Net) -> None:
    """Operators that no output needs."""
    needed, kept = set(net.outputs), []
    for op in reversed(net.ops):
        if needed & set(op.outputs):
            needed |= set(op.inputs)
            kept.append(op)
    net.ops = kept[::-1]


PASSES = (
    drop_unread,
    refuse_unknown,
    fold_constants,
    drop_unread,
    fix_shapes,
    expand_sums,
    find_compared_signs,
    find_counted_signs,
    find_steps,
    find_one_bit_quantizers,
    drop_neutral,
    drop_identities,
    find_channel_shuffles,
    drop_straight_through,
    drop_identities,
    fold_constants,
    merge_pads,
    merge_groups,
    split_padded_sums,
    expand_bipolar_quantizers,
    absorb_input_scales,
    drop_unread,
)


def simplify(net: Net) -> None:
    """All passes, in order."""
    for apply in PASSES:
        apply(net)
