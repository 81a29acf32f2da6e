"""Passes that find what a layer here does at once: shuffles, borders, sums of some channels, groups."""

from __future__ import annotations

import numpy as np

from bnnengine.convert.ir import Array, Net, Op


def find_channel_shuffles(net: Net) -> None:
    """Channels as (groups, C / groups), swapped, and flat again (ShuffleNet, arXiv:1707.01083)."""
    made = {op.outputs[0]: op for op in net.ops}
    kept = []
    for op in net.ops:
        kept.append(op)
        swap = made.get(op.inputs[0]) if op.kind == "Reshape" else None
        cut = made.get(swap.inputs[0]) if swap is not None and swap.kind == "Transpose" else None
        if swap is None or cut is None or cut.kind != "Reshape" or swap.attributes.get("perm") != [0, 2, 1, 3, 4]:
            continue
        parts, whole = (net.constants.get(o.inputs[1]) for o in (cut, op))
        if parts is None or whole is None or parts.size != 5 or whole.size != 4 or parts[1] < 1 or whole[2:].min() < 1:
            continue
        if (parts[3:] == whole[2:]).all():  # what is cut may have been of another shape before
            image = f"{op.outputs[0]}.image"
            kept[-1:] = [
                Op("Reshape", [cut.inputs[0], op.inputs[1]], [image], {}, op.name),
                Op("ChannelShuffle", [image], op.outputs, {"groups": int(parts[1])}, op.name),
            ]
    net.ops = kept


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
        weight = net.constants.get(op.inputs[1]) if op.kind == "Conv" else None
        kernel = op.attributes.get("kernel_shape", ()) if weight is None else weight.shape[2:]
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
