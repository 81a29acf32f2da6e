"""Passes that find signs and steps by what they compute, not by their names, and free them of scales."""

from __future__ import annotations

import numpy as np

from bnnengine.convert.ir import Array, Net, Op

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


def _limits(net: Net, clip: Op) -> tuple[float, float]:
    """Of a Clip by constants."""
    found = []
    for i, (key, none) in enumerate((("min", -np.inf), ("max", np.inf)), 1):
        given = net.constants.get(clip.inputs[i]) if len(clip.inputs) > i and clip.inputs[i] else None
        found.append(float(given.reshape(-1)[0]) if given is not None else float(clip.attributes.get(key, none)))
    return found[0], found[1]


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
