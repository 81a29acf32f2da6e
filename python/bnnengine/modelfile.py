"""The writer of .bnn files, as docs/format.md says, and the way back from what the C reader gives."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

import numpy as np

from bnnengine import _core
from bnnengine._version import __version__
from bnnengine.bits import BitTensor
from bnnengine.errors import FormatError, ModelError
from bnnengine.layers import OPERATORS, Layer
from bnnengine.layers.base import Array
from bnnengine.model import Model, Node
from bnnengine.spec import TensorSpec

_MAGIC = b"\x89BNN\r\n\x1a\n"
_NONE = 0xFFFFFFFF
_DTYPES = {"bits": 1, "uint8": 2, "int32": 3, "int64": 4, "float32": 5, "int8": 6}
_NUMBERS = {layer.op: number for number, layer in OPERATORS.items()}
_BY_NAME = {layer.op: layer for layer in OPERATORS.values()}


def _padding(size: int, to: int) -> bytes:
    return bytes(-size % to)


def _slots(ids: Iterable[int], count: int) -> bytes:
    listed = list(ids)
    return struct.pack(f"<{count}I", *listed, *[_NONE] * (count - len(listed)))


def _text(what: str, text: str, *, plain: bool = False) -> bytes:
    """UTF-8; plain text has 1 to 255 bytes and no control characters."""
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        raise ModelError(f"{what}: wanted text that UTF-8 can say, without lone surrogates") from None
    if plain and not 1 <= len(encoded) <= 255:
        raise ModelError(f"{what}: got {len(encoded)} bytes of UTF-8, wanted 1 to 255")
    if plain and any(ord(c) < 0x20 or 0x7F <= ord(c) <= 0x9F for c in text):
        raise ModelError(f"{what}: wanted text without control characters")
    return encoded


class _Writer:
    """The five sections as they grow."""

    def __init__(self) -> None:
        self.names = bytearray()
        self.tensors = bytearray()
        self.data = bytearray()
        self.tensor_count = 0
        self.minor = 0  # the least version that has all that is in it

    def name(self, text: str) -> bytes:
        """Adds a name; its offset and length."""
        encoded = _text(f"name {text!r}", text, plain=True)
        offset = len(self.names)
        self.names += encoded
        return struct.pack("<II", offset, len(encoded))

    def dims(self, shape: Sequence[int]) -> bytes:
        """Six dims, zeros past the rank."""
        return struct.pack("<6I", *shape, *[0] * (6 - len(shape)))

    def tensor(self, values: Array | BitTensor) -> int:
        """Adds a tensor; its id."""
        if isinstance(values, BitTensor):
            dtype, raw = "bits", values.words.astype("<u8", copy=False).tobytes()
        else:
            self.minor = max(self.minor, int(values.dtype == np.int8))
            dtype, raw = str(values.dtype), np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
        self.data += _padding(len(self.data), 64)
        self.tensors += struct.pack("<BBH", _DTYPES[dtype], len(values.shape), 0) + self.dims(values.shape) + bytes(4)
        self.tensors += struct.pack("<QQ", len(self.data), len(raw))
        self.data += raw
        self.tensor_count += 1
        return self.tensor_count - 1

    def value(self, spec: TensorSpec) -> bytes:
        """A value record."""
        return (
            self.name(spec.name)
            + struct.pack("<BBH", _DTYPES[spec.dtype], len(spec.shape), 0)
            + self.dims(spec.shape)
            + bytes(4)
        )

    def node(self, node: Node, layer: Layer, ids: dict[str, int]) -> bytes:
        """A node record."""
        tensors, attributes = layer.to_record()
        if _NUMBERS[layer.op] > 11 or getattr(layer, "zero_one", False):
            self.minor = 1
        used = [_NONE] * 8
        for slot in sorted(tensors):
            used[slot] = self.tensor(tensors[slot])
        record = struct.pack("<HBB", _NUMBERS[layer.op], len(node.inputs), len(node.outputs)) + self.name(node.name)
        record += _slots((ids[name] for name in node.inputs), 8) + _slots((ids[name] for name in node.outputs), 4)
        record += struct.pack("<8I", *used)
        return record + struct.pack("<16I", *attributes, *[0] * (16 - len(attributes))) + bytes(4)


def _file_layer(model: Model, node: Node) -> Layer:
    """The layer as the file holds it: it has an operator, and its vectors have their length."""
    layer = node.layer
    if layer.op is None:
        raise ModelError(
            f"layer {node.name!r} ({type(layer).__name__}): the file has no operator for it: it has to "
            f"fold into others, which Model.optimize does where it follows a sum or a number"
        )
    return layer.for_channels(model.values[node.inputs[0]].shape[-1])


def _metadata(entries: dict[str, str]) -> bytes:
    out = bytearray(struct.pack("<II", len(entries), 0))
    encoded = [(_text(f"metadata key {k!r}", k, plain=True), _text(f"metadata {k!r}", v)) for k, v in entries.items()]
    for key, value in sorted(encoded):
        out += struct.pack("<II", len(key), len(value)) + key + value
        out += _padding(len(out), 8)
    return bytes(out)


def to_bytes(model: Model) -> bytes:
    """The bytes of a .bnn file, which the reader has read once already: what can be saved can be loaded.

    Raises:
        ModelError: the model holds a layer, a name or an output that the file cannot say.
    """
    for name in model.outputs:
        if model.values[name].dtype == "bits":
            raise ModelError(
                f"output {name!r}: bits cannot leave the network; end with ScaleBias() to get +1.0 and -1.0"
            )
    writer = _Writer()
    names = [spec.name for spec in model.inputs] + [name for node in model.nodes for name in node.outputs]
    ids = {name: number for number, name in enumerate(names)}
    graph = struct.pack("<4I", len(names), len(model.nodes), len(model.inputs), len(model.outputs))
    graph += struct.pack(f"<{len(model.outputs)}I", *(ids[name] for name in model.outputs))
    graph += _padding(len(graph), 8)
    graph += b"".join(writer.value(model.values[name]) for name in names)
    graph += b"".join(writer.node(node, _file_layer(model, node), ids) for node in model.nodes)
    metadata = _metadata({"producer": f"bnnengine {__version__}", **model.metadata})
    data = _assemble([graph, bytes(writer.names), bytes(writer.tensors), metadata, bytes(writer.data)], writer.minor)
    try:
        _core.read_model(data)
    except FormatError as error:
        raise ModelError(f"the file cannot hold this network: {error}") from None
    return data


def _assemble(sections: Sequence[bytes], minor: int) -> bytes:
    end, table, body = 64 + 32 * len(sections), b"", bytearray()
    for kind, section in enumerate(sections, 1):
        body += _padding(end, 64) + section
        end += -end % 64
        table += struct.pack("<IIQQQ", kind, _core.crc32c(section), end, len(section), 0)
        end += len(section)
    header = _MAGIC + struct.pack("<HHIQI", 1, minor, len(sections), end, _core.crc32c(table)) + bytes(32)
    return header + struct.pack("<I", _core.crc32c(header)) + table + bytes(body)


def from_bytes(data: bytes | bytearray | memoryview) -> Model:
    """The model in the bytes of a .bnn file; the C reader checks all of it. Raises as Engine.load."""
    record = _core.read_model(data)
    names = [name for name, _, _ in record["values"]]
    nodes = []
    for node in record["nodes"]:
        tensors = {slot: BitTensor(*t) if isinstance(t, tuple) else t for slot, t in node["tensors"].items()}
        shape = record["values"][node["outputs"][0]][2]
        layer = _BY_NAME[node["op"]].from_node(tensors, node["attributes"], node["name"], shape)
        inputs, outputs = tuple(names[i] for i in node["inputs"]), tuple(names[i] for i in node["outputs"])
        nodes.append(Node(node["name"], layer, inputs, outputs))
    inputs_ = tuple(TensorSpec(*record["values"][i]) for i in record["inputs"])
    return Model(inputs_, tuple(nodes), tuple(names[i] for i in record["outputs"]), record["metadata"])
