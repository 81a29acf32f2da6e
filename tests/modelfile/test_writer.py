"""The writer: byte for byte what an independent one builds, what it refuses, and files that are whole or not there."""

import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import samples
from bnnfile import BnnFile, metadata_section
from hypothesis import given, settings
from hypothesis import strategies as st

import bnnengine
from bnnengine import (
    ArgMax,
    Binarize,
    BinaryConv2d,
    BinaryDense,
    Conv2d,
    Dense,
    Engine,
    Flatten,
    GlobalAveragePool,
    Input,
    MaxPool2d,
    Model,
    ModelError,
    Node,
    ScaleBias,
    Sequential,
    Sign,
    Softmax,
    TensorSpec,
    Threshold,
)
from bnnengine.layers import OPERATORS


def pattern(*dims):
    """The +1 and -1 of samples.bits."""
    rows = int(np.prod(dims[:-1]))
    row, i = np.ogrid[:rows, : dims[-1]]
    return np.where((i * i + row * 7 + i * row) % 3 == 0, 1, -1).reshape(dims)


def chained(spec, *layers):
    """Nodes named as samples.Net names them."""
    names = ["input1", *(f"value{n}" for n in range(1, len(layers) + 1))]
    nodes = [
        Node(f"layer{n}", layer, (value,), (names[n + 1],))
        for n, (value, layer) in enumerate(zip(names, layers, strict=False))
    ]
    return (TensorSpec("input1", *spec),), nodes, names


def chain():
    inputs, nodes, _ = chained(
        ("uint8", (3, 4, 3)),
        Binarize([100, 128, 7.5], [False, True, False]),
        BinaryConv2d(
            pattern(5, 2, 2, 3), strides=(1, 2), padding=((0, 0), (1, 0)),
            threshold=Threshold([0, -3, 2, 9, 1], [False, True, True, False, False]),
        ),
        Flatten(),
        BinaryDense(pattern(4, 20), scale=[1, 0.5, -2, 3], bias=[0, 1, -1, 0.25]),
        Softmax(),
    )  # fmt: skip
    nodes.append(Node("layer5", ArgMax(), ("value4",), ("value6",)))
    metadata = {"labels": '["a", "b", "c", "d"]', "name": "prüfung"}
    return Model(inputs, nodes, ("value5", "value6"), metadata)


def real():
    inputs, nodes, names = chained(
        ("float32", (4, 4, 2)),
        MaxPool2d(2, 1),
        Conv2d(
            np.arange(-8, 8).reshape(4, 2, 2, 1), padding=((1, 0), (1, 0)), groups=2, pad_value=-1,
            threshold=Threshold([0, np.inf, -1, -np.inf], [True, False, False, True]),
        ),
        MaxPool2d(2, 1, flip=[True, False, True, False]),
        GlobalAveragePool(),
        ScaleBias([1, 2, 3, 4], [0, 0, 1, 1]),
        Dense(np.arange(8).reshape(2, 4), bias=[0.5, -1]),
    )  # fmt: skip
    return Model(inputs, nodes, (names[-1],))


def bytes_conv():
    conv = BinaryConv2d(pattern(2, 2, 2, 2), padding=((1, 0), (1, 0)))
    inputs, nodes, names = chained(("uint8", (3, 3, 2)), conv)
    return Model(inputs, nodes, (names[-1],))


def with_producer(file: BnnFile, metadata: dict[str, str]) -> bytes:
    said = {"producer": f"bnnengine {bnnengine.__version__}", **metadata}
    file.sections["metadata"] = bytearray(metadata_section((k.encode(), v.encode()) for k, v in sorted(said.items())))
    return file.to_bytes()


@pytest.mark.parametrize("build", [chain, real, bytes_conv], ids=lambda build: build.__name__)
def test_bytes_are_those_of_an_independent_writer(build):
    model = build()
    expected = with_producer(getattr(samples, build.__name__)(), dict(model.metadata))
    assert model.to_bytes() == expected
    loaded = Model.load(expected)
    assert (loaded.inputs, loaded.nodes, loaded.outputs) == (model.inputs, model.nodes, model.outputs)
    assert loaded.to_bytes() == expected


@st.composite
def layers_with_every_field(draw):
    """An image input, and on its bits one layer whose fields all differ from each other."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    groups, channels, outputs = int(rng.integers(1, 4)), int(rng.integers(1, 130)), int(rng.integers(1, 4))
    kernel, dilation, strides = (
        rng.integers(1, 4, 2).tolist(),
        rng.integers(1, 3, 2).tolist(),
        rng.integers(1, 4, 2).tolist(),
    )
    image = (int(rng.integers(5, 9)), int(rng.integers(5, 9)), channels * groups)
    rows = outputs * groups
    out = {field: rng.normal(size=rows) for field in ("scale", "bias") if rng.random() < 0.6}
    if rng.random() < 0.4:
        out = {"threshold": Threshold(rng.integers(-9, 9, rows), rng.random(rows) < 0.5)}

    def padding(dilation):
        return [[int(rng.integers(d * (k - 1) + 1)) for _ in range(2)] for d, k in zip(dilation, kernel, strict=True)]

    kind = draw(st.sampled_from([BinaryConv2d, MaxPool2d, BinaryDense, ScaleBias, GlobalAveragePool]))
    if kind is BinaryConv2d:
        layer = BinaryConv2d(
            rng.choice([-1, 1], (rows, *kernel, channels)), strides=strides, dilation=dilation, groups=groups,
            padding=padding(dilation), pad_value=int(rng.integers(-1, 2)), **out,
        )  # fmt: skip
    elif kind is MaxPool2d:
        flip = draw(st.sampled_from([None, True, rng.random(image[2]) < 0.5]))
        layer = MaxPool2d(kernel, strides=strides, padding=padding([1, 1]), flip=flip)
    elif kind is BinaryDense:
        layer = BinaryDense(rng.choice([-1, 1], (rows, int(np.prod(image)))), **out)
    else:
        layer = ScaleBias(rng.normal(size=image[2]), 0.5) if kind is ScaleBias else GlobalAveragePool()
    binarize = Binarize(rng.normal(size=image[2]), rng.random(image[2]) < 0.5)
    return Input(image), [binarize, *([Flatten()] if kind is BinaryDense else []), layer]


@settings(max_examples=150, deadline=None)
@given(layers_with_every_field())
def test_every_field_comes_back(case):
    first, layers = case
    data = (
        Sequential([first, *layers, ScaleBias(2.0)]).to_bytes()
        if is_bits(case)
        else Sequential([first, *layers]).to_bytes()
    )
    loaded = Model.load(data)
    assert [type(node.layer) for node in loaded.nodes[: len(layers)]] == [type(layer) for layer in layers]
    for node, layer in zip(loaded.nodes, layers, strict=False):
        assert node.layer == layer.for_channels(first.shape[-1])
    assert loaded.to_bytes() == data


def is_bits(case):
    spec = (case[0].dtype, case[0].shape)
    for layer in case[1]:
        spec = layer.output_spec(spec)
    return spec[0] == "bits"


def test_the_shipped_files_are_what_the_writer_makes_of_them():
    found = sorted((Path(bnnengine.__file__).parent / "data").glob("*.bnn"))
    assert len(found) >= 2
    for path in found:
        assert Model.load(path).to_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (lambda: Sequential([Input((3,)), Sign()]), "output 'sign_1': bits cannot leave"),
        (
            lambda: Model((TensorSpec("", "float32", (3,)),), (Node("a", Softmax(), ("",), ("a",)),), ("a",)),
            "got 0 bytes",
        ),
        (lambda: Sequential([Input((3,)), ScaleBias(name="é" * 128)]), "got 256 bytes"),
        (lambda: Sequential([Input((3,)), ScaleBias(name="a\x7f")]), "control characters"),
        (lambda: Sequential([Input((3,)), ScaleBias(name="a\x9f")]), "control characters"),
        (lambda: Sequential([Input((3,)), ScaleBias(name="a\ud800")]), "surrogates"),
        (lambda: Sequential([Input((3,)), ScaleBias()], metadata={"a\n": ""}), r"metadata key .*control characters"),
        (lambda: Sequential([Input((3,)), ScaleBias()], metadata={"": ""}), "metadata key .*got 0 bytes"),
        (lambda: Sequential([Input((3,)), ScaleBias()], metadata={"a": "\ud800"}), "metadata 'a'.*surrogates"),
        (
            lambda: Sequential([Input((3,)), Sign(), ScaleBias(), Sign(), Flatten(name="end")]),
            "output 'end': bits cannot leave",
        ),
    ],
)
def test_what_the_file_cannot_say_is_refused_before_anything_is_written(model, text, tmp_path):
    with pytest.raises(ModelError, match=text):
        model().save(tmp_path / "m.bnn")
    assert list(tmp_path.iterdir()) == []


def test_odd_but_right_names():
    for name in ("é" * 127, "a b", "\u3000", "层", "\U0001f600" * 63, "a/b\\c\"'"):
        loaded = Model.load(Sequential([Input((3,)), ScaleBias(name=name)], metadata={name: "\n\x00"}).to_bytes())
        assert loaded.nodes[0].name == name
        assert loaded.metadata[name] == "\n\x00"


def test_a_layer_without_an_operator_says_what_to_do(monkeypatch):
    from bnnengine import fuse

    monkeypatch.setattr(fuse, "RULES", ())
    with pytest.raises(ModelError, match=r"layer 'sign_1' \(Sign\): .*Model.optimize"):
        Sequential([Input((3,)), Sign(), ScaleBias()]).to_bytes()


def test_what_the_reader_refuses_is_not_written(monkeypatch, tmp_path):
    """Should the writer ever differ from the reader, the user learns it on saving, not on loading."""
    from bnnengine import modelfile

    monkeypatch.setattr(modelfile, "_MAGIC", b"\x89BNN\r\n\x1a\r")
    with pytest.raises(ModelError, match="the file cannot hold this network"):
        Sequential([Input((3,)), ScaleBias()]).save(tmp_path / "m.bnn")
    assert list(tmp_path.iterdir()) == []


# ---- saving ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def model():
    return Sequential([Input((3,)), ScaleBias(2.0)])


@pytest.mark.parametrize("kind", [str, Path])
def test_save_and_load(model, tmp_path, kind):
    path = kind(tmp_path / "m.bnn")
    model.save(path)
    assert Path(path).read_bytes() == model.to_bytes()
    assert Model.load(path).to_bytes() == model.to_bytes()
    np.testing.assert_array_equal(Engine.load(path).predict(np.ones((1, 3), np.float32)), [[2, 2, 2]])
    assert os.listdir(tmp_path) == ["m.bnn"]


def test_save_replaces_and_keeps_to_the_umask(model, tmp_path):
    path = tmp_path / "m.bnn"
    path.write_bytes(b"older")
    before = os.umask(0o027)
    try:
        model.save(path)
    finally:
        os.umask(before)
    assert path.read_bytes() == model.to_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("broken", ["write", "replace"])
def test_a_save_that_fails_leaves_what_was_there(model, tmp_path, monkeypatch, broken):
    def full(*args):
        raise OSError(28, "No space left on device")

    path = tmp_path / "m.bnn"
    path.write_bytes(b"older")
    if broken == "replace":
        monkeypatch.setattr(os, "replace", full)
    else:
        monkeypatch.setattr(Model, "to_bytes", lambda model: "a write that raises")
    with pytest.raises((OSError, TypeError), match=r"No space left|bytes-like"):
        model.save(path)
    assert path.read_bytes() == b"older"
    assert os.listdir(tmp_path) == ["m.bnn"]


def test_save_into_a_folder_that_is_not_there(model, tmp_path):
    with pytest.raises(FileNotFoundError):
        model.save(tmp_path / "none" / "m.bnn")


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_load_from_buffers(model, wrap):
    assert Model.load(wrap(model.to_bytes())).to_bytes() == model.to_bytes()


# ---- golden files: each version of the format loads for ever --------------------------------------------------------

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("version", ["v1_0", "v1_1"])
def test_golden_file(version, isa):
    path, told = GOLDEN / f"{version}.bnn", json.loads((GOLDEN / f"{version}.json").read_text())
    model = Model.load(path)
    assert sorted({node.layer.op for node in model.nodes}) == told["operators"]
    assert dict(model.metadata) == told["metadata"]
    x = np.array(told["input"], np.uint8)
    answers = [model.reference(x), Engine.load(path, isa=isa).predict(x)]
    for outputs in answers:
        for got, wanted in zip(outputs, told["outputs"], strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("version", "first", "last"), [("v1_0", 1, 11), ("v1_1", 12, max(OPERATORS))])
def test_the_golden_file_is_still_what_is_written(version, first, last):
    data = (GOLDEN / f"{version}.bnn").read_bytes()
    assert Model.load(data).to_bytes() == data
    listed = json.loads((GOLDEN / f"{version}.json").read_text())["operators"]
    assert {OPERATORS[number].op for number in range(first, last + 1)} <= set(listed)
