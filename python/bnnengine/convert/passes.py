"""What makes a foreign graph plain: constants folded, and signs found by what they compute, not by their names."""

from __future__ import annotations

import numpy as np

from bnnengine.convert import signs, structure
from bnnengine.convert.ir import Net, Op
from bnnengine.convert.reading import KINDS, evaluate, trace
from bnnengine.errors import ConvertError

KNOWN = {*KINDS, "Constant", "Dropout"}
MOST_FOLDED = 1 << 28  # numbers in a folded constant
MOST_EXPANDED = 1 << 22


def fold_constants(net: Net) -> None:
    """Evaluates what depends on constants alone, shapes of inputs among them."""
    shapes = {name: np.array([n or 1 for n in shape], np.int64) for name, shape in net.inputs.items()}
    kept = []
    for op in net.ops:
        if op.kind == "Shape" and op.inputs[0] in shapes:
            net.constants[op.outputs[0]] = shapes[op.inputs[0]]
        elif op.kind == "Constant":
            net.constants[op.outputs[0]] = np.asarray(op.attributes["value"])
        elif op.inputs and all(not name or name in net.constants for name in op.inputs) and not _grows(net, op):
            args = [net.constants[name] if name else None for name in op.inputs]
            if sum(a.size for a in args if a is not None) > MOST_FOLDED:
                raise ConvertError(f"node {op.name!r} ({op.kind}): its constants are too large")
            made = evaluate(op, args)
            if op.kind == "Sign" and net.sign_of_zero == 0:
                made = (np.sign(net.constants[op.inputs[0]]),)
            net.constants.update(zip(op.outputs, made, strict=False))
        else:
            kept.append(op)
    net.ops = kept


def _grows(net: Net, op: Op) -> bool:
    """Whether a constant is expanded to very many numbers, which its readers broadcast as well."""
    return op.kind == "Expand" and bool(np.prod(net.constants[op.inputs[1]], dtype=np.float64) > MOST_EXPANDED)


def drop_identities(net: Net) -> None:
    """Removes what hands its input on: Identity, Dropout, Cast to float, and Expand of constants."""
    names: dict[str, str] = {}
    kept = []
    for op in net.ops:
        op.inputs = [names.get(name, name) for name in op.inputs]
        if op.kind == "Dropout" and len(op.inputs) > 2 and np.any(net.constants.get(op.inputs[2], False)):
            raise ConvertError(f"node {op.name!r} (Dropout): training_mode: got True: export it in evaluation mode")
        same = op.kind in ("Identity", "Dropout") or (op.kind == "Cast" and op.attributes.get("to") in (1, 11))
        if same or (op.kind == "Expand" and op.inputs[0] in net.constants):  # what reads a constant broadcasts it
            names[op.outputs[0]] = op.inputs[0]
        else:
            kept.append(op)
    net.ops = kept
    net.outputs = [names.get(name, name) for name in net.outputs]


def refuse_unknown(net: Net) -> None:
    """Names every operator that nobody here knows, before any of it is computed."""
    unknown = [f"node {op.name!r}: operator {op.kind} is not known" for op in net.ops if op.kind not in KNOWN]
    if unknown:
        raise ConvertError("; ".join([*unknown, "docs/convert.md lists what is taken"]))


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
    signs.find_compared_signs,
    signs.find_counted_signs,
    signs.find_steps,
    signs.find_one_bit_quantizers,
    signs.drop_neutral,
    drop_identities,
    structure.find_channel_shuffles,
    signs.drop_straight_through,
    drop_identities,
    fold_constants,
    structure.merge_pads,
    structure.merge_groups,
    structure.split_padded_sums,
    signs.expand_bipolar_quantizers,
    signs.absorb_input_scales,
    drop_unread,
)


# What a pass meets in a graph that is no network: operands that are missing, of odd shapes, of other types.
MALFORMED = (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError, MemoryError)


def simplify(net: Net) -> None:
    """All passes, in order.

    Raises:
        ConvertError: operators that are not known, or a graph that is malformed.
    """
    for apply in PASSES:
        try:
            apply(net)
        except ConvertError:
            raise
        except MALFORMED as error:
            raise ConvertError(f"the graph is malformed, seen by {apply.__name__}: {error!r}") from error
