"""What the reader gives for a sound file is what stands in it."""

from __future__ import annotations

import numpy as np
import pytest
from bnnfile import ENTRY, HEADER, SOFTMAX, BnnFile, Record, crc32c, metadata_section
from samples import chain, lone, real, settled

from bnnengine import Engine, FormatError, Model, _core
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


def is_text(raw):
    """What Python says of UTF-8; C0 and C1 control characters are allowed."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def test_utf8_is_what_python_reads():
    """Around every boundary of RFC 3629: ends, overlong forms, surrogates, the last code point, sequences cut off."""
    edges = [0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE]
    edges += [0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xF7, 0xF8, 0xFF]
    texts = [bytes([a]) for a in range(256)] + [bytes([a, b]) for a in range(0xC0, 256) for b in edges]
    ends = [b"\x41", b"\x7f", b"\x80", b"\xbf", b"\xc0", b"", b"\x80\x80", b"\xbf\xbf", b"\x80\x41", b"\x80\xc0"]
    texts += [bytes([a, b]) + end for a in edges for b in edges for end in ends]
    file, seen = lone(SOFTMAX, 4), set()
    for text in texts:
        file.sections["metadata"] = bytearray(metadata_section([(b"key", text)]))
        error = ""
        try:
            assert read_model(file.to_bytes())["metadata"]["key"].encode() == text
        except FormatError as refused:
            error = str(refused)
        assert error == ("" if is_text(text) else "metadata entry 0: its value is not valid UTF-8"), text
        seen.add((len(text), not error))
    assert seen >= {(1, True), (1, False), (2, True), (2, False), (3, True), (3, False), (4, True), (4, False)}


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
