"""Concatenations of floats that nobody needs: what reads them reads their parts instead.

A dense network (DenseNet, MeliusNet) joins its features anew before each sign. A sign of joined channels is the joined
signs of the parts, each of which is made while its part is in cache, and bits are joined instead of floats; so is a
pool, whose output is smaller, with what is done to each channel before it; a slice of whole parts is those parts, and a
concatenation of a concatenation is one. What is computed stays the same bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

from bnnengine.layers import AveragePool2d, Binarize, Clip, Concat, Layer, MaxPool2d, PReLU, ScaleBias, Slice
from bnnengine.model import Model, Node

MOST_PARTS = 8  # inputs of a concatenation in the file
POOLS = (MaxPool2d, AveragePool2d)
VECTORS = {  # of layers that work on each channel by itself, one number a channel or None
    Binarize: ("threshold", "flip"),
    Clip: ("low", "high"),
    PReLU: ("slope", "shift_in", "shift_out"),
    ScaleBias: ("scale", "bias"),
}


def separate(model: Model) -> Model:
    """Leaves out every float concatenation of channels that is read by signs, slices of parts and others alone."""
    found: Model | None = model
    while found is not None:
        model, found = found, next(_without(found), None)
    return model


def _without(model: Model) -> Iterator[Model]:
    """The model without its first such concatenation."""
    readers: dict[str, list[Node]] = {}
    for node in model.nodes:
        for value in dict.fromkeys(node.inputs):
            readers.setdefault(value, []).append(node)
    for node in model.nodes:
        value = node.outputs[0]
        if not _joins_channels(model, node) or model.values[value].dtype != "float32" or value in model.outputs:
            continue
        if value in readers and all(_can_do_without(model, node, reader, readers) for reader in readers[value]):
            yield _replaced(model, node, readers[value])


def _joins_channels(model: Model, node: Node) -> bool:
    return isinstance(node.layer, Concat) and _is_last(model, node, node.layer.axis)


def _is_last(model: Model, node: Node, axis: int) -> bool:
    return axis in (-1, len(model.values[node.inputs[0]].shape) - 1)


def _can_do_without(model: Model, joined: Node, reader: Node, readers: dict[str, list[Node]]) -> bool:
    while type(reader.layer) in VECTORS and not isinstance(reader.layer, Binarize):
        following = readers.get(reader.outputs[0], [])
        if len(following) != 1 or len(following[0].inputs) != 1 or reader.outputs[0] in model.outputs:
            return False
        reader = following[0]
        if type(reader.layer) not in VECTORS and not isinstance(reader.layer, POOLS):
            return False
    if isinstance(reader.layer, (Binarize, *POOLS)):
        return True
    if isinstance(reader.layer, Slice):
        return _is_last(model, reader, reader.layer.axis) and _sliced(model, joined, reader) is not None
    if not isinstance(reader.layer, Concat):
        return False
    again = reader.inputs.count(joined.outputs[0])
    parts = len(reader.inputs) + again * (len(joined.inputs) - 1)
    return _joins_channels(model, reader) and parts <= MOST_PARTS


def _ends(model: Model, joined: Node) -> list[int]:
    """Where each part ends."""
    return list(accumulate(model.values[part].shape[-1] for part in joined.inputs))


def _sliced(model: Model, joined: Node, reader: Node) -> Sequence[str] | None:
    """The parts that a slice takes, where they are whole ones."""
    assert isinstance(reader.layer, Slice)
    ends = _ends(model, joined)
    start, stop, _ = slice(reader.layer.start, reader.layer.stop).indices(ends[-1])
    starts = [0, *ends[:-1]]
    if start not in starts or stop not in ends or reader.outputs[0] in model.outputs:
        return None
    return joined.inputs[starts.index(start) : ends.index(stop) + 1]


def _replaced(model: Model, joined: Node, readers: list[Node]) -> Model:
    assert isinstance(joined.layer, Concat)
    axis, value, names = joined.layer.axis, joined.outputs[0], {node.name for node in model.nodes} | set(model.values)
    behind: dict[str, list[Node]] = {}  # what is made of a part, right behind it
    renamed: dict[str, str] = {}  # a slice of one part is that part
    nodes: list[Node] = []
    for node in model.nodes:
        if node is joined:
            continue
        if node not in readers:
            nodes.append(node)
        elif isinstance(node.layer, (*VECTORS, *POOLS)):
            parts = []
            for k, (part, layer) in enumerate(zip(joined.inputs, _of_parts(model, joined, node.layer), strict=True)):
                name = _free(f"{node.name}.{k}", names)
                behind.setdefault(part, []).append(Node(name, layer, (part,), (name,)))
                parts.append(name)
            nodes.append(replace(node, layer=Concat(axis), inputs=tuple(parts)))
        elif isinstance(node.layer, Slice):
            whole = _sliced(model, joined, node)
            assert whole is not None
            if len(whole) == 1:
                renamed[node.outputs[0]] = whole[0]
            else:
                nodes.append(replace(node, layer=Concat(axis), inputs=tuple(whole)))
        else:
            inputs = [part for name in node.inputs for part in (joined.inputs if name == value else (name,))]
            nodes.append(replace(node, inputs=tuple(inputs)))
    placed = [sign for spec in model.inputs for sign in behind.get(spec.name, [])]
    for node in nodes:
        placed.append(replace(node, inputs=tuple(renamed.get(name, name) for name in node.inputs)))
        placed += [sign for name in node.outputs for sign in behind.get(name, [])]
    return Model(model.inputs, tuple(placed), model.outputs, model.metadata)


def _of_parts(model: Model, joined: Node, layer: Layer) -> list[Layer]:
    """A layer of the joined channels as one of each part."""
    ends = _ends(model, joined)
    if not isinstance(layer, (Binarize, Clip, PReLU, ScaleBias)):
        return [layer] * len(ends)
    whole = layer.for_channels(ends[-1])
    vectors = {name: getattr(whole, name) for name in VECTORS[type(layer)]}
    return [
        type(layer)(**{name: None if v is None else v[start:end] for name, v in vectors.items()})
        for start, end in zip([0, *ends[:-1]], ends, strict=True)
    ]


def _free(name: str, names: set[str]) -> str:
    """This name, or one like it, that is not taken; it is from now on."""
    number = 0
    wanted = name
    while wanted in names:
        number += 1
        wanted = f"{name}.{number}"
    names.add(wanted)
    return wanted
