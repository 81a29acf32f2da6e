"""What the reader gives for a sound file is what stands in it."""

from __future__ import annotations

import numpy as np
import pytest
from bnnfile import ENTRY, HEADER, BnnFile, Record, crc32c, metadata_section
from samples import chain, real, settled

from bnnengine import Engine, Model, _core
from bnnengine._core import read_model


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview], ids=lambda kind: kind.__name__)
def test_any_buffer_is_read(kind):
    assert len(read_model(kind(chain().to_bytes()))["values"]) == 7


def test_the_bytes_are_copied():
    data = bytearray(settled(1, 2).to_bytes())
    x = np.array([[1, 2, 3]], np.uint8)
    engine = Engine(data, isa="ref")
    before = engine.predict(x)
    data[:] = bytes(len(data))
    np.testing.assert_array_equal(engine.predict(x), before)


def test_everything_in_the_file_is_read():
    record = read_model(real().to_bytes())
    assert record["values"][0] == ("input1", "float32", (4, 4, 2))
    assert record["values"][3] == ("value3", "bits", (2, 2, 4))
    assert record["inputs"] == [0]
    assert record["outputs"] == [6]
    assert [node["op"] for node in record["nodes"]] == [
        "max_pool2d", "conv2d", "max_pool2d", "global_average_pool", "scale_bias", "dense"
    ]  # fmt: skip
    conv = record["nodes"][1]
    assert (conv["name"], conv["inputs"], conv["outputs"]) == ("layer1", [1], [2])
    assert conv["attributes"] == [2, 2, 1, 1, 1, 1, 1, 1, 0, 0, 2, 2, 0, 0, 0, 0]
    np.testing.assert_array_equal(conv["tensors"][0], np.arange(-8, 8, dtype=np.float32).reshape(4, 2, 2, 1))
    words, shape = conv["tensors"][2]
    np.testing.assert_array_equal(words, [0b1001])
    assert shape == (4,)
    assert read_model(chain().to_bytes())["metadata"] == {"labels": '["a", "b", "c", "d"]', "name": "prüfung"}


def test_many_metadata_entries_are_read():
    file = chain()
    entries = [(b"%05d" % i, b"v" * (i % 9)) for i in range(10_000)]
    file.sections["metadata"] = bytearray(metadata_section(entries))
    assert read_model(file.to_bytes())["metadata"] == {key.decode(): value.decode() for key, value in entries}


def test_crc32c_is_the_one_of_the_rfc():
    """RFC 3720, B.4: 32 bytes of zeros, of ones, rising, falling; and the check value of "123456789"."""
    for data, crc in [
        (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C), (b"123456789", 0xE3069283), (b"", 0),
    ]:  # fmt: skip
        assert _core.crc32c(data) == crc32c(data) == crc


def test_the_writer_and_this_folder_agree():
    """A file of the package, taken apart and put together by bnnfile, is the same bytes; and so the other way round."""
    file = real()
    file.sections["metadata"] = bytearray(metadata_section([(b"producer", b"x")]))
    data = Model.load(file.to_bytes()).to_bytes()
    assert BnnFile.parse(data).to_bytes() == data
    assert data == file.to_bytes()


def test_header_fields_stand_where_the_format_says():
    data = bytearray(chain().to_bytes())
    header, first = Record(data, 0, HEADER), Record(data, 64, ENTRY)
    assert (header["major"], header["minor"], header["sections"], header["size"]) == (1, 0, 5, len(data))
    assert (first["kind"], first["offset"]) == (1, 256)
