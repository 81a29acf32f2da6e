"""The reader of HDF5 files, beside h5py; bytes that hang or crash HDF5's own library do neither here."""

import io

import numpy as np
import pytest

h5py = pytest.importorskip("h5py", reason="needs the h5py package, which CI has")

from bnnengine.convert import ConvertError  # noqa: E402
from bnnengine.convert.hdf5 import File  # noqa: E402


def written(fill, **options):
    """A file's bytes."""
    data = io.BytesIO()
    with h5py.File(data, "w", **options) as file:
        fill(file)
    return data.getvalue()


def test_arrays_are_those_of_h5py():
    rng = np.random.default_rng(0)
    wanted = {
        f"deep/{k}/of kind {dtype}": (rng.standard_normal((k, 3)) * 50).astype(dtype)
        for k, dtype in enumerate(("<f4", ">f4", "<f8", ">f2", "<i4", ">i8", "i1", "u1", "<u2"))
    } | {"scalar": np.float32(3), "empty": np.zeros((0, 4), np.float32)}

    def fill(file):
        for name, array in wanted.items():
            file[name] = array
        file["text"] = "no numbers"
        compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        compact.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((2,))
        h5py.h5d.create(file.id, b"compact", h5py.h5t.IEEE_F32LE, space, compact).write(
            space, space, np.array([1, 2], np.float32)
        )

    found = File(written(fill)).arrays()
    assert found.keys() == {*wanted, "compact"}
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == np.asarray(array).dtype
    np.testing.assert_array_equal(found["compact"], [1, 2])


def test_a_group_of_many_is_read_whole():
    file = File(written(lambda file: [file.create_dataset(f"g/{k}", data=np.int32(k)) for k in range(3000)]))
    assert {name: int(array) for name, array in file.arrays(file.group("g")).items()} == {
        str(k): k for k in range(3000)
    }


def test_attributes_are_texts_or_numbers():
    long = "x" * 200_000

    def fill(file):
        for k in range(30):  # more than one block of the root's header
            file.attrs[f"filler{k}"] = k
        file.attrs["text"], file.attrs["fixed"], file.attrs["long"] = "ein Wört", np.bytes_(b"abc"), long
        file.attrs["numbers"] = np.arange(6.0).reshape(2, 3)

    file = File(written(fill))
    assert file.attribute("text") == "ein Wört".encode()
    assert file.attribute("fixed") == b"abc"
    assert file.attribute("long") == long.encode()
    np.testing.assert_array_equal(file.attribute("numbers"), np.arange(6.0).reshape(2, 3))
    assert file.attribute("filler29") == 29
    assert file.attribute("none") is None


def test_nothing_outside_the_file_is_read(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(64))
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["x"] = np.ones(3)

    def links(file):
        file["soft"] = h5py.SoftLink("/here")
        file["here"] = np.zeros(2)
        file["loop"] = file["/"]

    assert File(written(links)).arrays().keys() == {"here"}
    raw = written(lambda file: file.create_dataset("x", (16,), "f4", external=[(str(tmp_path / "secret"), 0, 64)]))
    with pytest.raises(ConvertError, match="outside the file"):
        File(raw).arrays()


@pytest.mark.parametrize(
    ("fill", "options", "said"),
    [
        (lambda file: file.create_dataset("x", data=np.zeros((8, 8)), compression="gzip"), {}, "in chunks"),
        (lambda file: file.create_dataset("x", data=np.zeros(3)), {"libver": "latest"}, "superblock"),
        (lambda file: file.create_dataset("x", data=np.zeros(3)), {"userblock_size": 512}, "not an HDF5 file"),
    ],
)
def test_other_forms_are_refused(fill, options, said):
    with pytest.raises(ConvertError, match=said):
        File(written(fill, **options)).arrays()


def test_an_array_that_was_never_written_is_refused():
    with pytest.raises(ConvertError, match="it has 0 bytes"):
        File(written(lambda file: file.create_dataset("x", (1 << 40,), "f4"))).arrays()


def test_any_bytes_are_read_or_refused():
    def fill(file):
        file.attrs["text"] = "some text"
        for k in range(12):
            file[f"a/b{k}/c"] = np.arange(k + 1)

    whole, rng, read = written(fill), np.random.default_rng(0), 0
    structure = [i for i, byte in enumerate(whole) if byte]
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(rng.integers(1, 5)):
            data[rng.choice(structure)] = rng.choice([0, 1, 127, 255, rng.integers(256)])
        try:
            file = File(bytes(data[: rng.integers(len(data))] if rng.integers(10) == 0 else data))
            file.arrays()
            file.attribute("text")
            read += 1
        except ConvertError:
            pass
    assert 300 < read < 2700
