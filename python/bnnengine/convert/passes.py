"""What makes a foreign graph plain: constants folded, and signs found by what they compute, not by their names."""

from __future__ import annotations

import numpy as np

from bnnengine.convert.ir import Net, Op, evaluate
from bnnengine.errors import ConvertError

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
            net.constants[op.outputs[0]] = evaluate(op, args)
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


def find_compared_signs(net: Net) -> None:
    """`Where(x >= t, 1, -1)` is the sign of `x - t`; so is `>` but for x = t."""
    made = {op.outputs[0]: op for op in net.ops}
    for op in net.ops:
        compare = made.get(op.inputs[0]) if op.kind == "Where" else None
        if compare is None or compare.kind not in ("GreaterOrEqual", "Greater"):
            continue
        level, high, low = (net.constants.get(name) for name in (compare.inputs[1], *op.inputs[1:]))
        if level is not None and high is not None and low is not None and (high == 1).all() and (low == -1).all():
            op.kind, op.inputs = "Binarize", [compare.inputs[0], compare.inputs[1]]


def find_counted_signs(net: Net) -> None:
    """`(x >= t) * 2 - 1` is the sign of `x - t`."""
    made = {op.outputs[0]: op for op in net.ops}
    for op in net.ops:
        if op.kind != "Sub":
            continue
        one, twice = net.constants.get(op.inputs[1]), made.get(op.inputs[0])
        if one is None or twice is None or twice.kind != "Mul" or not (one == 1).all():
            continue
        two, compare = net.constants.get(twice.inputs[1]), made.get(twice.inputs[0])
        if two is None or compare is None or compare.kind not in ("GreaterOrEqual", "Greater") or not (two == 2).all():
            continue
        if compare.inputs[1] in net.constants:
            op.kind, op.inputs = "Binarize", [compare.inputs[0], compare.inputs[1]]


def merge_zero_pads(net: Net) -> None:
    """A convolution of an image padded with zeros pads by itself."""
    made = {op.outputs[0]: op for op in net.ops}
    for op in net.ops:
        pad = made.get(op.inputs[0]) if op.kind == "Conv" else None
        if pad is None or pad.kind != "Pad" or pad.attributes.get("mode", b"constant") not in (b"constant", "constant"):
            continue
        given, value = net.constants.get(pad.inputs[1]) if len(pad.inputs) > 1 else None, None
        if len(pad.inputs) > 2 and pad.inputs[2]:
            value = net.constants.get(pad.inputs[2])
            if value is None or (value != 0).any():
                continue
        if given is None or given.size != 8 or given[[0, 1, 4, 5]].any() or op.attributes.get("auto_pad"):
            continue
        own = op.attributes.get("pads", [0, 0, 0, 0])
        op.attributes["pads"] = [int(a + b) for a, b in zip(own, given[[2, 3, 6, 7]], strict=True)]
        op.inputs = [pad.inputs[0], *op.inputs[1:]]


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
    fold_constants,
    drop_identities,
    find_compared_signs,
    find_counted_signs,
    drop_straight_through,
    drop_identities,
    fold_constants,
    merge_zero_pads,
    drop_unread,
)


def simplify(net: Net) -> None:
    """All passes, in order."""
    for apply in PASSES:
        apply(net)
