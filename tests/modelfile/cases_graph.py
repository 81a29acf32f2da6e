"""The graph section: its head, values, nodes, and their names."""

from __future__ import annotations

import struct

from bnnfile import NONE, BnnFile
from rules import Breaks, Case, graph, node, section, value
from samples import lone_output

ENDS = "The section MUST end with the last node record"
NAME_PLACE = "MUST be where the previous name ended (0 for the first)"
NAME_BYTES = "name bytes | 1 to 255"
VALUE_DTYPE = "1 bits, 2 uint8, 4 int64, 5 float32"
PRODUCT = "their product MUST be below 2^31"
NEXT_TENSOR = "a tensor present MUST be the next id that no node before has used"
NEXT_OUTPUT = "MUST be the next ids that no node before has made"
TEXT = "Names MUST be valid UTF-8 without control characters"
UNIQUE = "no two values and no two nodes may have the same name"
ALL_NAMES = "The names, end to end, nothing else"


def output(first: int) -> Breaks:
    """The first output id."""
    return section("graph", lambda s: s[:16] + struct.pack("<I", first) + s[20:])


def dims(i: int, *sizes: int) -> Breaks:
    """Value i with these dims."""
    return value(i, rank=len(sizes), **{f"dim{axis}": size for axis, size in enumerate(sizes)})


def rename(i: int, new: bytes) -> Breaks:
    """Value i's name replaced by one of the same length."""

    def breaks(file: BnnFile) -> None:
        record = file.value(i)
        at = record["name_offset"]
        assert len(new) == record["name_bytes"]
        file.sections["names"][at : at + len(new)] = new

    return breaks


def without_last_node(file: BnnFile) -> None:
    """The last node and its name are gone, but not the value that it made."""
    file.graph["nodes"] -= 1
    file.sections["names"] = file.sections["names"][: -file.node(file.graph["nodes"])["name_bytes"]]
    file.sections["graph"] = file.sections["graph"][:-160]


def without_last_value(file: BnnFile) -> None:
    """The last value and its name are gone, but not the node that made it; the other output stays."""
    last = file.value(6)
    at, size = last["name_offset"], last["name_bytes"]
    for i in range(file.graph["nodes"]):
        file.node(i)["name_offset"] -= size
    file.sections["names"] = file.sections["names"][:at] + file.sections["names"][at + size :]
    graph = file.sections["graph"]
    file.sections["graph"] = graph[: last.at] + graph[last.at + 40 :]
    file.graph["values"] = 6
    file.graph["outputs"] = 1
    struct.pack_into("<I", file.sections["graph"], 20, 0)


HEAD = [
    Case("MUST be what inputs and nodes together make", without_last_node, "graph section: 7 values, but 6 are made"),
    Case(
        "MUST be what inputs and nodes together make", without_last_value, "node 5: output 0: got value 6, wanted the"
    ),
    Case("nodes | at least 1", graph(nodes=0), "got 7 values, 0 nodes, 1 inputs, 2 outputs"),
    Case("inputs | at least 1", graph(inputs=0), "got 7 values, 6 nodes, 0 inputs, 2 outputs"),
    Case("inputs | at least 1", graph(inputs=8), "got 7 values, 6 nodes, 8 inputs, 2 outputs"),
    Case("outputs | at least 1", graph(outputs=0), "got 7 values, 6 nodes, 1 inputs, 0 outputs"),
    Case("outputs | at least 1", graph(outputs=2**31), "got 7 values, 6 nodes, 1 inputs, 2147483648 outputs"),
    Case("MUST be below `values`", output(7), "output 0: got value 7 of 7"),
    Case("differ from each other", output(6), 'output 1: value "value6" stands twice'),
    Case("MUST NOT be inputs", output(0), "output 0: is an input of the network"),
    Case("A graph output MUST NOT be bits", output(3), 'output 0: value "value3" is bits'),
    Case(
        "it MUST be zero",
        section("graph", lambda s: s[:23] + b"\1" + s[24:]),
        "graph section: padding is not zero",
        sample=lone_output,
    ),
    Case(ENDS, section("graph", lambda s: s + bytes(8)), "its records make 1264 bytes, got 1272"),
    Case(ENDS, section("graph", lambda s: s[:-8]), "its records make 1264 bytes, got 1256"),
    Case(ENDS, section("graph", lambda s: s[:15]), "graph section: shorter than its 16-byte head"),
    Case(ENDS, graph(nodes=2**32 - 1), "its records make 687194767504 bytes, got 1264"),
    Case(ENDS, graph(values=2**32 - 1), "its records make 171798692784 bytes, got 1264"),
]

VALUES = [
    Case(NAME_PLACE, value(0, name_offset=1), "value 0: its name is not the next one"),
    Case(NAME_PLACE, value(1, name_offset=5), "value 1: its name is not the next one"),
    Case(NAME_BYTES, value(0, name_bytes=0), "value 0: name bytes: got 0, wanted 1 to 255"),
    Case(NAME_BYTES, value(0, name_bytes=256), "value 0: name bytes: got 256, wanted 1 to 255"),
    Case(NAME_BYTES, value(0, name_bytes=255), "value 0: its name is not the next one of the names section"),
    Case(VALUE_DTYPE, value(4, dtype=3), "value 4: dtype: got 3, wanted 1, 2, 4 or 5"),
    Case(VALUE_DTYPE, value(4, dtype=0), "value 4: dtype: got 0, wanted 1, 2, 4 or 5"),
    Case("of bits 1 to 6", value(6, dtype=1), "value 6: bits need a rank of at least 1"),
    Case("rank | 0 to 6;", value(1, rank=7), "value 1: rank: got 7, at most 6"),
    Case("10 | u16 | reserved | MUST be zero", value(1, reserved=256), "value 1: reserved field is not zero"),
    Case("each of the first `rank` at least 1", value(1, dim1=0), "value 1: dimension 1: got 0"),
    Case("at least 1 and below 2^31", value(1, dim0=2**31), "value 1: dimension 0: got 2147483648"),
    Case("the others MUST be zero", value(1, dim3=1), "value 1: dimension 3: got 1"),
    Case(PRODUCT, dims(1, 2**16, 2**15, 1), r"value 1: more than 2\^31 - 1 elements"),
    Case(PRODUCT, dims(1, *[2**30] * 4, 2**8, 2), r"value 1: more than 2\^31 - 1 elements"),
    Case("36 | u32 | reserved | MUST be zero", value(2, reserved2=1), "value 2: reserved field is not zero"),
    Case("A graph input MUST be uint8 or float32", value(0, dtype=1), "an input is uint8 or float32, got bits"),
    Case("A graph input MUST be uint8 or float32", value(0, dtype=4), "an input is uint8 or float32, got int64"),
]

NODES = [
    Case("one of the list below", node(0, operator=0), "node 0: operator: got 0, which this version does not have"),
    Case("one of the list below", node(0, operator=60), "node 0: operator: got 60, which this version does not have"),
    Case("1 to 8, as the operator has it", node(0, inputs=2), "node 0: binarize has 1 to 1 input.* got 2 and 1"),
    Case("1 to 4, as the operator has it", node(0, outputs=2), "node 0: binarize has 1 to 1 input.* got 1 and 2"),
    Case(
        "MUST be where the previous name ended (node names follow",
        node(0, name_offset=0),
        "node 0: its name is not the next one",
    ),
    Case("8 | u32 | name bytes | 1 to 255", node(0, name_bytes=0), "node 0: name bytes: got 0, wanted 1 to 255"),
    Case(
        "each MUST be below the node's first output id",
        node(1, input0=2),
        "node 1: input 0: got value 2, which no earlier node makes",
    ),
    Case(
        "each MUST be below the node's first output id", node(1, input0=2**31), "input 0: got value 2147483648, which"
    ),
    Case("output id; unused slots MUST be NONE", node(1, input1=0), "input 1: got value 0 in a slot that is not used"),
    Case(NEXT_OUTPUT, node(1, output0=3), "node 1: output 0: got value 3, wanted the next one"),
    Case(NEXT_OUTPUT, node(1, output0=1), "node 1: output 0: got value 1, wanted the next one"),
    Case("has made; unused slots MUST be NONE", node(1, output1=3), "output 1: got value 3 in a slot that is not"),
    Case(NEXT_TENSOR, node(1, tensor0=3), "node 1: tensor slot 0: got 3, wanted the next tensor or none"),
    Case(NEXT_TENSOR, node(1, tensor0=1), "node 1: tensor slot 0: got 1, wanted the next tensor or none"),
    Case(NEXT_TENSOR, node(4, tensor0=8), "node 4: tensor slot 0: got 8, wanted the next tensor or none"),
    Case("and all of them are used", node(3, tensor4=NONE), "tensors section: 8 tensors, but 7 are used"),
    Case("156 | u32 | reserved | MUST be zero", node(2, reserved=1), "node 2: reserved field is not zero"),
]

NAMES = [
    Case(TEXT, rename(1, b"val\xc3\x281"), "value 1: its name is not valid UTF-8"),
    Case(TEXT, rename(1, b"val\xed\xa0\x80"), "value 1: its name is not valid UTF-8"),
    Case(TEXT, rename(1, b"value\n"), "value 1: its name .* control character"),
    Case(TEXT, rename(1, b"val\xc2\x9b1"), "value 1: its name .* control character"),
    Case(UNIQUE, rename(1, b"value2"), 'value name "value2" stands twice'),
    Case(UNIQUE, section("names", lambda s: s[:-1] + b"4"), 'node name "layer4" stands twice'),
    Case(ALL_NAMES, section("names", lambda s: s + b"x"), "names section: 1 bytes after the last name"),
    Case(ALL_NAMES, section("names", lambda s: s[:-1]), "node 5: its name is not the next one"),
]

CASES = HEAD + VALUES + NODES + NAMES
