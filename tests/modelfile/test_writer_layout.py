"""The bytes of a small network, field by field, as docs/format.md orders them."""

import struct

import numpy as np
import pytest
from bnnfile import crc32c

import bnnengine
from bnnengine import BinaryConv2d, Input, Model, Node, Sequential, TensorSpec, Threshold

NONE = 0xFFFFFFFF


@pytest.fixture(scope="module")
def data() -> bytes:
    """uint8 (2, 3, 2) to bits (2, 2, 3) by a padded convolution, then to float32 by scale and bias."""
    weight = np.array([[[[1, 1], [1, -1]]], [[[-1, 1], [-1, -1]]], [[[-1, -1], [1, -1]]]])  # (3, 1, 2, 2)
    conv = BinaryConv2d(
        weight, strides=(1, 2), padding=((0, 0), (1, 0)),
        threshold=Threshold(np.array([-2, 0, 300]), [False, True, False]), name="cönv",
    )  # fmt: skip
    last = bnnengine.ScaleBias([1, 2, 3], [0.5, 0, -1], name="out")
    return Sequential(
        [Input((2, 3, 2), "uint8", "x"), conv, last], metadata={"name": "tiny", "producer": "me"}
    ).to_bytes()


def test_header(data):
    magic, major, minor, sections, size, table_crc = struct.unpack_from("<8sHHIQI", data, 0)
    assert magic == bytes.fromhex("89424E4E0D0A1A0A")
    assert (major, minor, sections) == (1, 0, 5)
    assert size == len(data)
    assert table_crc == crc32c(data[64:224])
    assert data[28:60] == bytes(32)
    assert struct.unpack_from("<I", data, 60) == (crc32c(data[:60]),)


def sections(data):
    return [struct.unpack_from("<IIQQQ", data, 64 + 32 * i) for i in range(5)]


def test_section_table(data):
    end = 224
    for number, (kind, crc, offset, size, reserved) in enumerate(sections(data), 1):
        assert (kind, reserved) == (number, 0)
        assert offset == (end + 63) // 64 * 64
        assert data[end:offset] == bytes(offset - end)
        assert crc == crc32c(data[offset : offset + size])
        end = offset + size
    assert end == len(data)


def section(data, number):
    _, _, offset, size, _ = sections(data)[number - 1]
    return data[offset : offset + size]


def test_graph(data):
    graph = section(data, 1)
    assert struct.unpack_from("<6I", graph, 0) == (
        3,
        2,
        1,
        1,
        2,
        0,
    )  # values, nodes, inputs, outputs, output 2, padding
    # name offset, name bytes, dtype, rank, reserved, dims, reserved
    values = [struct.unpack_from("<IIBBH6II", graph, 24 + 40 * i) for i in range(3)]
    assert values[0] == (0, 1, 2, 3, 0, 2, 3, 2, 0, 0, 0, 0)
    assert values[1] == (1, 5, 1, 3, 0, 2, 2, 3, 0, 0, 0, 0)
    assert values[2] == (6, 3, 5, 3, 0, 2, 2, 3, 0, 0, 0, 0)
    at = 24 + 3 * 40
    conv = struct.unpack_from("<HBBII8I4I8I16II", graph, at)
    assert conv[:5] == (2, 1, 1, 9, 5)
    assert conv[5:13] == (0, *[NONE] * 7)
    assert conv[13:17] == (1, *[NONE] * 3)
    assert conv[17:25] == (0, 1, 2, *[NONE] * 5)
    # kernel 1x2, strides 1x2, dilation 1x1, pads top left bottom right, one group, pad value 0
    assert conv[25:41] == (1, 2, 1, 2, 1, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0)
    assert conv[41] == 0
    last = struct.unpack_from("<HBBII8I4I8I16II", graph, at + 160)
    assert last == (9, 1, 1, 14, 3, 1, *[NONE] * 7, 2, *[NONE] * 3, 3, 4, *[NONE] * 6, *[0] * 16, 0)
    assert len(graph) == at + 320


def test_names(data):
    assert section(data, 2) == "xcönvoutcönvout".encode()


def test_tensors_and_their_data(data):
    tensors, held = section(data, 3), section(data, 5)
    # dtype, rank, reserved, dims, reserved, offset, bytes
    assert [struct.unpack_from("<BBH6IIQQ", tensors, 48 * i) for i in range(5)] == [
        (1, 4, 0, 3, 1, 2, 2, 0, 0, 0, 0, 48),
        (3, 1, 0, 3, 0, 0, 0, 0, 0, 0, 64, 12),
        (1, 1, 0, 3, 0, 0, 0, 0, 0, 0, 128, 8),
        (5, 1, 0, 3, 0, 0, 0, 0, 0, 0, 192, 12),
        (5, 1, 0, 3, 0, 0, 0, 0, 0, 0, 256, 12),
    ]
    assert len(tensors) == 5 * 48
    assert struct.unpack_from("<6Q", held, 0) == (0b11, 0b01, 0b10, 0b00, 0b00, 0b01)
    assert struct.unpack_from("<3i", held, 64) == (-2, 0, 300)
    assert struct.unpack_from("<Q", held, 128) == (0b010,)
    assert struct.unpack_from("<3f", held, 192) == (1, 2, 3)
    assert struct.unpack_from("<3f", held, 256) == (0.5, 0, -1)
    assert len(held) == 268
    for start, end in [(48, 64), (76, 128), (136, 192), (204, 256)]:
        assert held[start:end] == bytes(end - start)


def test_metadata(data):
    held = section(data, 4)
    assert held == struct.pack("<II", 2, 0) + (
        struct.pack("<II4s4s", 4, 4, b"name", b"tiny") + struct.pack("<II8s2s6x", 8, 2, b"producer", b"me")
    )


def test_metadata_goes_by_bytes_and_says_who_wrote_it():
    model = Sequential([Input((2,)), bnnengine.ScaleBias()], metadata={"b": "", "ä": "2", "Z": "1"})
    loaded = Model.load(model.to_bytes())
    assert loaded.metadata == {"Z": "1", "b": "", "producer": f"bnnengine {bnnengine.__version__}", "ä": "2"}
    assert list(loaded.metadata) == ["Z", "b", "producer", "ä"]


@pytest.mark.parametrize("outputs", [("a",), ("b", "a"), ("c", "a", "b")])
def test_output_ids_and_their_padding(outputs):
    nodes = [Node(name, bnnengine.Softmax(), ("x",), (name,)) for name in "abc"]
    graph = section(Model((TensorSpec("x", "float32", (2,)),), nodes, outputs).to_bytes(), 1)
    assert struct.unpack_from(f"<4I{len(outputs)}I", graph, 0) == (
        4,
        3,
        1,
        len(outputs),
        *("xabc".index(n) for n in outputs),
    )
    records = (16 + 4 * len(outputs) + 7) // 8 * 8
    assert graph[16 + 4 * len(outputs) : records] == bytes(records - 16 - 4 * len(outputs))
    assert len(graph) == records + 4 * 40 + 3 * 160
