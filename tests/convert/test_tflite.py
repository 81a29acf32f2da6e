"""Larq Compute Engine's .tflite files: its own networks against recorded answers, and small files written here."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest

from bnnengine import Engine
from bnnengine.convert import ConvertError, convert, reading, tflite
from bnnengine.convert.flatbuffer import flex_map
from bnnengine.convert.tflite_schema import BUILTINS, DTYPES, TYPES

# ---- networks of the engine's own converter ----

AGREEING = [0, 1, 3, 4, 5]  # of six; Keras and Larq Compute Engine are at odds on the third
NETWORKS = {"larq_quicknet_small": ("QuickNetSmall", 16, 10), "larq_binarydensenet28": ("BinaryDenseNet28", 23, 5)}


@pytest.fixture(scope="module", params=NETWORKS)
def golden(request, shared_data, tmp_path_factory):
    """A packed network, and Keras' inputs and logits without their mean, since the files end in a softmax."""
    stem, binary, real = NETWORKS[request.param]
    packed = tmp_path_factory.mktemp("tflite") / "model.bnn"
    done = convert(shared_data / request.param / f"{stem}.tflite", packed, check=False)
    assert [layer.binary for layer in done.report.layers].count(True) == binary
    assert [layer.binary for layer in done.report.layers].count(False) == real
    with np.load(shared_data / request.param / f"{stem}.golden.npz") as arrays:
        x, logits = arrays["x"][AGREEING], arrays["logits_keras"][AGREEING]
    return packed, x, logits - logits.mean(axis=1, keepdims=True)


@pytest.mark.shared
def test_networks_of_larq_zoo_give_the_logits_of_keras(golden, isa):
    packed, x, logits = golden
    got = np.log(Engine.load(packed, isa=isa).predict(x).astype(np.float64))
    got -= got.mean(axis=1, keepdims=True)
    assert np.abs(got - logits).max() <= 1e-4 * np.abs(logits).max()
    np.testing.assert_array_equal(got.argmax(1), logits.argmax(1))


@pytest.mark.shared
def test_the_reading_in_numpy_gives_them_too(shared_data):
    folder = shared_data / "larq_quicknet_small"
    net = tflite.read(folder / "QuickNetSmall.tflite")
    assert (net.channels_last, net.sign_of_zero) == (True, 1)
    with np.load(folder / "QuickNetSmall.golden.npz") as arrays:
        x, wanted = arrays["x"][:1].transpose(0, 3, 1, 2), arrays["softmax_keras_x0"]
    (got,) = reading.run(net, {name: x for name in net.inputs})
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-8)


MODELS = Path(os.environ.get("BNNENGINE_LARQ_MODELS", "nowhere"))
NAMED = sorted(path.stem for path in MODELS.glob("*.tflite"))
# what Larq Compute Engine's converter leaves as TensorFlow's own operators, which have no layer here
LEFT_TO_TENSORFLOW = {"quantizers": "SIGN", "sequence": "SPACE_TO_BATCH_ND", "vector": "SIGN"}
# outputs that its converter changes: a border of 1 before a convolution of stride 2 becomes SAME, which pads elsewhere
OFF = {"shapes": 1}


@pytest.mark.skipif("BNNENGINE_LARQ_MODELS" not in os.environ, reason="needs models that Larq made")
def test_other_networks_answer_as_keras():
    """Of a folder that make_larq_models.py filled: each <name>.tflite with <name>.npz, x as (N, H, W, C), y0, ..."""
    assert len(NAMED) >= 10
    for name in NAMED:
        path = MODELS / f"{name}.tflite"
        if name in LEFT_TO_TENSORFLOW:
            with pytest.raises(ConvertError, match=LEFT_TO_TENSORFLOW[name]):
                convert(path)
            continue
        with np.load(MODELS / f"{name}.npz") as told:
            x, wanted = told["x"], [told[f"y{k}"] for k in range(len(told) - 1)]
        made = Engine(convert(path, check=False).model.to_bytes()).predict(x)
        made = made if isinstance(made, tuple) else (made,)
        off = 0
        for y in made:  # the file may have them in another order
            off += min(np.abs(y - w).max() / np.abs(w).max() for w in wanted if w.shape == y.shape) > 1e-4
        assert off == OFF.get(name, 0), name


# ---- a writer of small files ----


class Table(dict):
    """Fields by number: (kind of struct, number), an array, a string, a table or a list of tables."""


def write(value, out):
    """Appends it, and gives the place that an offset to it means."""
    out.extend(bytes(-len(out) % 8))
    if isinstance(value, Table):
        fields = max(value, default=-1) + 1
        vtable = len(out)
        out.extend(struct.pack("<HH", 4 + 2 * fields, 8 + 8 * fields))
        out.extend(b"".join(struct.pack("<H", 8 + 8 * k if k in value else 0) for k in range(fields)))
        out.extend(bytes(-len(out) % 8))
        at = len(out)
        out.extend(struct.pack("<i", at - vtable) + bytes(4 + 8 * fields))
        for k, field in value.items():
            if isinstance(field, tuple):
                struct.pack_into(f"<{field[0]}", out, at + 8 + 8 * k, field[1])
            else:
                place = write(field, out)
                struct.pack_into("<I", out, at + 8 + 8 * k, place - at - 8 - 8 * k)
        return at
    if isinstance(value, list):
        at = len(out)
        out.extend(struct.pack("<I", len(value)) + bytes(4 * len(value)))
        for k, item in enumerate(value):
            struct.pack_into("<I", out, at + 4 + 4 * k, write(item, out) - at - 4 - 4 * k)
        return at
    array = np.frombuffer(value.encode(), np.uint8) if isinstance(value, str) else np.asarray(value)
    out.extend(bytes(4))  # so that numbers of eight bytes are aligned
    at = len(out)
    out.extend(struct.pack("<I", len(array)) + array.tobytes() + b"\0")
    return at


def flex(options):
    """A FlexBuffers map of whole numbers, four bytes each."""
    keys, out = sorted(options), bytearray()
    starts = []
    for key in keys:
        starts.append(len(out))
        out += key.encode() + b"\0"
    out += bytes(-len(out) % 4) + struct.pack("<I", len(keys))
    vector = len(out)
    for start in starts:
        out += struct.pack("<I", len(out) - start)
    out += struct.pack("<III", len(out) - vector, 4, len(keys))
    values = len(out)
    out += b"".join(struct.pack("<i", options[key]) for key in keys) + bytes([(1 << 2) | 2] * len(keys))
    return bytes(out) + struct.pack("<BBB", len(out) - values, (9 << 2) | 2, 1)


class File:
    """A graph that is being written: tensors by number."""

    def __init__(self, *shapes, version=3, codes="both"):
        self.tensors, self.buffers, self.kinds, self.operators = [], [np.zeros(0, np.uint8)], [], []
        self.version, self.codes = version, codes
        self.inputs = [self.value(shape) for shape in shapes]

    def value(self, shape, kind="FLOAT32", buffer=0, **fields):
        table = Table({0: np.array(shape, np.int32), 1: ("b", TYPES.index(kind)), 2: ("I", buffer)})
        table[3] = f"tensor/{len(self.tensors)}"
        self.tensors.append(Table({**table, **fields.get("more", {})}))
        return len(self.tensors) - 1

    def constant(self, array, kind="FLOAT32", **fields):
        array = np.asarray(array, DTYPES[kind])
        self.buffers.append(np.frombuffer(array.tobytes(), np.uint8))
        return self.value(array.shape, kind, len(self.buffers) - 1, **fields)

    def op(self, kind, inputs, shape, options=None, custom=None, out="FLOAT32"):
        """An operator of one output, or of several where `shape` is a list of them; options: (number, fields)."""
        outputs = [self.value(s, out) for s in (shape if isinstance(shape, list) else [shape])]
        if kind not in self.kinds:
            self.kinds.append(kind)
        table = Table({0: ("I", self.kinds.index(kind)), 1: np.array(inputs, np.int32), 2: np.array(outputs, np.int32)})
        if options:
            table |= {3: ("B", options[0]), 4: Table(options[1])}
        if custom is not None:
            table[5] = np.frombuffer(flex(custom), np.uint8)
        self.operators.append(Table(table))
        return outputs if isinstance(shape, list) else outputs[0]

    def code(self, kind):
        if kind not in BUILTINS:
            return Table({0: ("b", 32), 1: kind, 3: ("i", 32)})
        number = BUILTINS.index(kind)
        fields = {"old": [0], "new": [3], "both": [0, 3]}[self.codes]
        return Table({k: ("bi"[k == 3], number if k == 3 else min(number, 127)) for k in fields})

    def bytes(self, *outputs):
        graph = Table({
            0: self.tensors, 1: np.array(self.inputs, np.int32), 2: np.array(outputs, np.int32), 3: self.operators,
        })  # fmt: skip
        model = Table({
            0: ("I", self.version), 1: [self.code(kind) for kind in self.kinds], 2: [graph],
            4: [b if isinstance(b, Table) else Table({0: b} if len(b) else {}) for b in self.buffers],
        })  # fmt: skip
        out = bytearray(b"\0\0\0\0TFL3")
        struct.pack_into("<I", out, 0, write(model, out))
        return bytes(out)

    def save(self, folder, *outputs):
        path = folder / "model.tflite"
        path.write_bytes(self.bytes(*outputs))
        return path


# ---- what its operators compute, channels-last ----


def windows(x, kernel, stride, same, fill, dilation=(1, 1)):
    """(N, OH, OW, KH, KW, C): TensorFlow's 'same' has the greater part of its padding at the end."""
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    if same:
        total = [max((-(-n // s) - 1) * s + r - n, 0) for n, s, r in zip(x.shape[1:3], stride, reach, strict=True)]
        x = np.pad(x, ((0, 0), *[(t // 2, t - t // 2) for t in total], (0, 0)), constant_values=fill)
    rows, columns = ((n - r) // s + 1 for n, r, s in zip(x.shape[1:3], reach, stride, strict=True))
    out = np.zeros((len(x), rows, columns, *kernel, x.shape[3]))
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            top, left = i * dilation[0], j * dilation[1]
            out[:, :, :, i, j] = x[:, top :: stride[0], left :: stride[1]][:, :rows, :columns]
    return out


def conv(x, w, stride=(1, 1), same=True, fill=0.0, dilation=(1, 1)):
    """Weights (O, KH, KW, I / groups)."""
    groups = x.shape[3] // w.shape[3]
    seen = windows(x, w.shape[1:3], stride, same, fill, dilation)
    parts = zip(np.split(seen, groups, 5), np.split(w, groups, 0), strict=True)
    return np.concatenate([np.einsum("nyxijc,oijc->nyxo", a, b) for a, b in parts], axis=3)


def sign(x):
    return np.where(x >= 0, 1.0, -1.0)


def packed(signs):
    """Words of 32 channels: a bit is 1 where the number is below 0; what is missing to whole words is 0."""
    bits = np.zeros((*signs.shape[:-1], -(-signs.shape[-1] // 32) * 32), np.uint8)
    bits[..., : signs.shape[-1]] = signs < 0
    return np.packbits(bits, axis=-1, bitorder="little").view("<i4")


def answers(path, x):
    """Of the packed network, which `convert` itself has compared with the reading in NumPy."""
    done = convert(path, samples=x)
    assert done.verification.difference < 1e-5
    y = Engine(done.model.to_bytes()).predict(x)
    return y, done


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# ---- binary operators ----

RNG = np.random.default_rng(0)
IMAGE = RNG.standard_normal((2, 7, 6, 40)).astype(np.float32)
IMAGE[:, :3, :3] = np.round(IMAGE[:, :3, :3])  # zeros among them, whose sign is +1
IMAGE[0, 0, 0, :8] = -0.0
CLAMPS = {0: (-np.inf, np.inf), 1: (0, np.inf), 2: (-1, 1), 3: (0, 6)}


def bconv_options(channels, stride=(1, 1), dilation=(1, 1), same=True, pad_values=0, fused=0):
    return {
        "channels_in": channels, "stride_height": stride[0], "stride_width": stride[1],
        "dilation_height_factor": dilation[0], "dilation_width_factor": dilation[1], "padding": 0 if same else 1,
        "pad_values": pad_values, "fused_activation_function": fused,
    }  # fmt: skip


@pytest.mark.parametrize("bits", [False, True])
@pytest.mark.parametrize(
    ("kernel", "channels", "outputs", "options"),
    [
        ((3, 3), 40, 5, {}),
        ((3, 3), 40, 5, {"pad_values": 1, "stride": (2, 2)}),
        ((3, 2), 32, 4, {"same": False, "stride": (1, 2), "fused": 1}),
        ((3, 3), 7, 33, {"pad_values": 1, "dilation": (2, 1), "fused": 2}),
        ((1, 1), 40, 6, {"same": False, "fused": 3}),
    ],
)
def test_binary_convolutions(kernel, channels, outputs, options, bits, tmp_path):
    rng = np.random.default_rng(1)
    x = IMAGE[..., :channels]
    w = sign(rng.standard_normal((outputs, *kernel, channels)))
    scale = rng.standard_normal(outputs).astype(np.float32)
    bias = (rng.standard_normal(outputs) * 4).astype(np.float32)
    scale[0], taps = 0, w[0].size
    plain = {key: value for key, value in options.items() if key in ("stride", "dilation", "same")}
    total = conv(sign(x), w, fill=float(options.get("pad_values", 0)), **plain)
    size, words = total.shape[1:3], -(-channels // 32)
    file = File((1, *x.shape[1:]))
    signs = file.op("LceQuantize", [0], (1, *x.shape[1:3], words), out="INT32")
    weight = file.constant(packed(w), "INT32")
    chosen = bconv_options(channels, **options)
    if bits:
        threshold = rng.integers(taps // 3, 2 * taps // 3, outputs).astype(np.int32)
        threshold[:3] = [-(1 << 31), (1 << 31) - 1, taps]  # always -1, never, never
        inputs = [signs, weight, -1, -1, file.constant(threshold, "INT32")]
        made = file.op("LceBconv2d", inputs, (1, *size, -(-outputs // 32)), custom=chosen, out="INT32")
        y = file.op("LceDequantize", [made], (1, *size, outputs))
        wanted = np.where((taps - total) / 2 > threshold, -1, 1)  # the count of -1 among the products
    else:
        inputs = [signs, weight, file.constant(scale), file.constant(bias), -1]
        y = file.op("LceBconv2d", inputs, (1, *size, outputs), custom=chosen)
        wanted = np.clip(total, *CLAMPS[options.get("fused", 0)]) * scale + bias
    got, done = answers(file.save(tmp_path, y), x)
    assert [layer.binary for layer in done.report.layers] == [True]
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def test_groups_are_told_from_the_width_of_the_weights(tmp_path):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((2, 5, 5, 64)).astype(np.float32)
    w = sign(rng.standard_normal((6, 3, 3, 32)))
    file = File((1, 5, 5, 64))
    signs = file.op("LceQuantize", [0], (1, 5, 5, 2), out="INT32")
    inputs = [signs, file.constant(packed(w), "INT32"), file.constant(np.ones(6)), file.constant(np.zeros(6)), -1]
    y = file.op("LceBconv2d", inputs, (1, 5, 5, 6), custom=bconv_options(64, pad_values=1))
    np.testing.assert_array_equal(answers(file.save(tmp_path, y), x)[0], conv(sign(x), w, fill=1.0))


def test_binary_pools_and_unpacking(tmp_path):
    file = File((1, 7, 6, 40))
    signs = file.op("LceQuantize", [0], (1, 7, 6, 2), out="INT32")
    options = {"filter_height": 3, "filter_width": 2, "stride_height": 2, "stride_width": 2, "padding": 0}
    pooled = file.op("LceBMaxPool2d", [signs], (1, 4, 3, 2), custom=options, out="INT32")
    y = file.op("LceDequantize", [pooled], (1, 4, 3, 40))
    wanted = windows(sign(IMAGE), (3, 2), (2, 2), True, -1.0).max((3, 4))
    np.testing.assert_array_equal(answers(file.save(tmp_path, y), IMAGE)[0], wanted)


def test_the_sign_of_a_comparison(tmp_path):
    """What the engine's converter leaves of `where(x >= t, 1, -1)`: bits of a bool."""
    level = RNG.standard_normal(40).astype(np.float32)
    file = File((1, 7, 6, 40))
    above = file.op("GREATER_EQUAL", [0, file.constant(level)], (1, 7, 6, 40), out="BOOL")
    signs = file.op("LceQuantize", [above], (1, 7, 6, 2), out="INT32")
    y = file.op("LceDequantize", [signs], (1, 7, 6, 40))
    np.testing.assert_array_equal(answers(file.save(tmp_path, y), IMAGE)[0], np.where(level <= IMAGE, 1, -1))
    one, minus = file.constant(1.0), file.constant(-1.0)
    y = file.op("SELECT_V2", [above, one, minus], (1, 7, 6, 40))
    np.testing.assert_array_equal(answers(file.save(tmp_path, y), IMAGE)[0], np.where(level <= IMAGE, 1, -1))


def test_weights_that_the_graph_computes_are_binary_too(tmp_path):
    """XNOR-Net's dense layers: the sign of clipped weights, times their mean magnitude, turned, in float operators."""
    latent = RNG.standard_normal((3, 3, 40, 6)).astype(np.float32)
    file = File((1, 3, 3, 40))
    x = file.op("LceDequantize", [file.op("LceQuantize", [0], (1, 3, 3, 2), out="INT32")], (1, 3, 3, 40))
    clipped = file.op("RELU_N1_TO_1", [file.constant(latent)], latent.shape)
    size = file.op("ABS", [clipped], latent.shape)
    mean = file.op(
        "MEAN", [size, file.constant([0, 1, 2], "INT32")], (1, 1, 1, 6), options=(27, {0: ("B", 1)})
    )  # fmt: skip
    words = file.op("LceQuantize", [clipped], (3, 3, 40, 1), out="INT32")
    signs = file.op("MUL", [mean, file.op("LceDequantize", [words], latent.shape)], latent.shape, options=(21, {}))
    weight = file.op("TRANSPOSE", [signs, file.constant([3, 0, 1, 2], "INT32")], (6, 3, 3, 40))
    y = file.op(
        "CONV_2D",
        [x, weight, file.constant(np.zeros(6))],
        (1, 1, 1, 6),
        options=(1, {0: ("b", 1), 1: ("i", 1), 2: ("i", 1)}),
    )
    image = RNG.standard_normal((2, 3, 3, 40)).astype(np.float32)
    got, done = answers(file.save(tmp_path, y), image)
    assert [layer.binary for layer in done.report.layers] == [True]
    magnitude = np.abs(np.clip(latent, -1, 1)).mean((0, 1, 2))
    wanted = np.einsum("nijc,ijco->no", sign(image), sign(latent)) * magnitude
    np.testing.assert_allclose(got.reshape(2, 6), wanted, rtol=1e-5, atol=1e-5)


# ---- float operators ----

X = RNG.standard_normal((2, 6, 5, 4)).astype(np.float32) * 3
V = RNG.standard_normal((2, 12)).astype(np.float32) * 3
FULL, VECTOR = (1, 6, 5, 4), (1, 12)
C4, C12 = (RNG.standard_normal(n).astype(np.float32) for n in (4, 12))
W = RNG.standard_normal((8, 3, 3, 4)).astype(np.float32)
B8 = RNG.standard_normal(8).astype(np.float32)
DEPTHWISE = RNG.standard_normal((1, 3, 3, 8)).astype(np.float32)
FLAT = RNG.standard_normal((3, 120)).astype(np.float32)
DENSE = RNG.standard_normal((3, 12)).astype(np.float32)


def depthwise(x, stride):
    """Each channel has as many outputs as the multiplier says, one behind the other."""
    return conv(x, DEPTHWISE[0].transpose(2, 0, 1)[..., None], stride)


def average(x, kernel, stride, same):
    """Only pixels inside are counted."""
    total, counts = (windows(a, kernel, stride, same, 0.0).sum((3, 4)) for a in (x, np.ones_like(x)))
    return total / counts


def ints(*numbers):
    return np.array(numbers, np.int32)


def window(kernel, stride, padding, fused=0):
    """Fields of Pool2DOptions."""
    return {0: ("b", padding), 1: ("i", stride[1]), 2: ("i", stride[0]), 3: ("i", kernel[1]), 4: ("i", kernel[0]),
            5: ("b", fused)}  # fmt: skip


def strides(padding, stride, **more):
    """Fields of Conv2DOptions and DepthwiseConv2DOptions."""
    return {0: ("b", padding), 1: ("i", stride[1]), 2: ("i", stride[0]), **{int(k[1:]): v for k, v in more.items()}}


# kind, constants behind the value, options, shape of the output, what it computes
FLOATS = [
    ("CONV_2D", [W, B8], (1, strides(0, (2, 1), _3=("b", 1))), (1, 3, 5, 8),
     lambda x: np.maximum(conv(x, W, (2, 1)) + B8, 0)),
    ("CONV_2D", [W, B8], (1, strides(1, (1, 1), _4=("i", 1), _5=("i", 2))), (1, 2, 3, 8),
     lambda x: conv(x, W, same=False, dilation=(2, 1)) + B8),
    ("CONV_2D", [W[..., :2], B8], (1, strides(0, (1, 1), _3=("b", 2))), (1, 6, 5, 8),
     lambda x: np.clip(conv(x, W[..., :2]) + B8, -1, 1)),
    ("DEPTHWISE_CONV_2D", [DEPTHWISE, B8], (2, strides(0, (2, 2), _3=("i", 2), _4=("b", 3))), (1, 3, 3, 8),
     lambda x: np.clip(depthwise(x, (2, 2)) + B8, 0, 6)),
    ("MAX_POOL_2D", [], (5, window((3, 2), (2, 2), 0)), (1, 3, 3, 4),
     lambda x: windows(x, (3, 2), (2, 2), True, -np.inf).max((3, 4))),
    ("MAX_POOL_2D", [], (5, window((2, 2), (2, 2), 1, 1)), (1, 3, 2, 4),
     lambda x: np.maximum(windows(x, (2, 2), (2, 2), False, 0).max((3, 4)), 0)),
    ("AVERAGE_POOL_2D", [], (5, window((3, 3), (2, 2), 0)), (1, 3, 3, 4), lambda x: average(x, (3, 3), (2, 2), True)),
    ("AVERAGE_POOL_2D", [], (5, window((6, 5), (6, 5), 1)), (1, 1, 1, 4), lambda x: x.mean((1, 2), keepdims=True)),
    ("ADD", [C4], (11, {0: ("b", 1)}), FULL, lambda x: np.maximum(x + C4, 0)),
    ("SUB", [C4.reshape(1, 1, 1, 4)], (28, {}), FULL, lambda x: x - C4),
    ("MUL", [C4.reshape(1, 1, 4)], (21, {0: ("b", 2)}), FULL, lambda x: np.clip(x * C4, -1, 1)),
    ("DIV", [C4], (29, {0: ("b", 3)}), FULL, lambda x: np.clip(x / C4, 0, 6)),
    ("MAXIMUM", [np.float32(0.5)], None, FULL, lambda x: np.maximum(x, 0.5)),
    ("MINIMUM", [C4], None, FULL, lambda x: np.minimum(x, C4)),
    ("PRELU", [C4.reshape(1, 1, 4)], None, FULL, lambda x: np.where(x > 0, x, x * C4)),
    ("LEAKY_RELU", [], (75, {0: ("f", 0.25)}), FULL, lambda x: np.where(x > 0, x, x / 4)),
    ("RELU", [], None, FULL, lambda x: np.maximum(x, 0)),
    ("RELU6", [], None, FULL, lambda x: np.clip(x, 0, 6)),
    ("RELU_N1_TO_1", [], None, FULL, lambda x: np.clip(x, -1, 1)),
    ("LOGISTIC", [], None, FULL, lambda x: 1 / (1 + np.exp(-x))),
    ("TANH", [], None, FULL, np.tanh),
    ("HARD_SWISH", [], (91, {}), FULL, lambda x: x * np.clip(x + 3, 0, 6) / 6),
    ("ABS", [], None, FULL, np.abs),
    ("NEG", [], None, FULL, np.negative),
    ("MEAN", [ints(1, 2)], (27, {0: ("B", 1)}), (1, 1, 1, 4), lambda x: x.mean((1, 2), keepdims=True)),
    ("MEAN", [ints(-2, 1)], (27, {}), (1, 4), lambda x: x.mean((1, 2))),
    ("SUM", [ints(2, 1)], (27, {}), (1, 4), lambda x: x.sum((1, 2))),
    ("REDUCE_MAX", [ints(1, 2)], (27, {}), (1, 4), lambda x: x.max((1, 2))),
    ("RESHAPE", [ints(1, 120)], (17, {}), (1, 120), lambda x: x.reshape(-1, 120)),
    ("RESHAPE", [ints(1, -1)], None, (1, 120), lambda x: x.reshape(-1, 120)),
    ("RESHAPE", [], (17, {0: ints(-1, 120)}), (1, 120), lambda x: x.reshape(-1, 120)),
    ("FULLY_CONNECTED", [FLAT, C4[:3]], (8, {0: ("b", 1)}), (1, 3),
     lambda x: np.maximum(x.reshape(-1, 120) @ FLAT.T + C4[:3], 0)),
    ("FULLY_CONNECTED", [FLAT[:, :4]], (8, {2: ("B", 1)}), (1, 6, 5, 3), lambda x: x @ FLAT[:, :4].T),
    ("PAD", [np.array([[0, 0], [1, 2], [0, 3], [0, 0]], np.int32)], (22, {}), (1, 9, 8, 4),
     lambda x: np.pad(x, [(0, 0), (1, 2), (0, 3), (0, 0)])),
    ("PADV2", [np.array([[0, 0], [1, 0], [2, 0], [0, 0]], np.int32), np.float32(1.5)], (43, {}), (1, 7, 7, 4),
     lambda x: np.pad(x, [(0, 0), (1, 0), (2, 0), (0, 0)], constant_values=1.5)),
    ("TRANSPOSE", [ints(0, 2, 1, 3)], (26, {}), (1, 5, 6, 4), lambda x: x.transpose(0, 2, 1, 3)),
    ("TRANSPOSE", [ints(0, 3, 1, 2)], None, (1, 4, 6, 5), lambda x: x.transpose(0, 3, 1, 2)),
    ("STRIDED_SLICE", [ints(7, 1, 3, 1), ints(9, -1, 0, 3), ints(1, 1, 1, 1)], (32, {0: ("i", 0b101), 1: ("i", 0b101)}),
     (1, 4, 5, 2), lambda x: x[:, 1:-1, :, 1:3]),
    ("SLICE", [ints(0, 0, 2, 1), ints(1, -1, 3, 2)], (48, {}), (1, 6, 3, 2), lambda x: x[:, :, 2:, 1:3]),
    ("RESIZE_NEAREST_NEIGHBOR", [ints(12, 15)], (74, {}), (1, 12, 15, 4), lambda x: x.repeat(2, 1).repeat(3, 2)),
]  # fmt: skip
VECTORS = [
    ("SOFTMAX", [], (9, {0: ("f", 1.0)}), VECTOR, softmax),
    ("SOFTMAX", [], (9, {0: ("f", 0.5)}), VECTOR, lambda x: softmax(x / 2)),
    ("FULLY_CONNECTED", [DENSE], (8, {0: ("b", 3)}), (1, 3), lambda x: np.clip(x @ DENSE.T, 0, 6)),
    ("ADD", [C12], (11, {}), VECTOR, lambda x: x + C12),
    ("MUL", [np.float32(-2)], (21, {}), VECTOR, lambda x: x * -2),
    ("RESHAPE", [ints(1, 1, 1, 12)], None, (1, 1, 1, 12), lambda x: x.reshape(-1, 1, 1, 12)),
]


def constants(file, arrays):
    kinds = {np.dtype(np.float32): "FLOAT32", np.dtype(np.int32): "INT32"}
    return [file.constant(array, kinds[np.asarray(array).dtype]) for array in arrays]


@pytest.mark.parametrize("case", range(len(FLOATS) + len(VECTORS)), ids=[c[0].lower() for c in (*FLOATS, *VECTORS)])
def test_float_operators(case, tmp_path):
    kind, others, options, shape, computes = (*FLOATS, *VECTORS)[case]
    x = X if case < len(FLOATS) else V
    file = File((1, *x.shape[1:]))
    y = file.op(kind, [0, *constants(file, others)], shape, options=options)
    got, _ = answers(file.save(tmp_path, y), x)
    wanted = computes(x.astype(np.float64))
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_values_that_meet(tmp_path):
    """Sums, products with one number a channel, concatenations, parts: two values each."""
    file = File(FULL)
    halves = file.op("SPLIT", [file.constant(3, "INT32"), 0], [(1, 6, 5, 2)] * 2, options=(35, {0: ("i", 2)}))
    parts = file.op(
        "SPLIT_V",
        [0, file.constant([1, 3], "INT32"), file.constant(-1, "INT32")],
        [(1, 6, 5, 1), (1, 6, 5, 3)],
        options=(79, {0: ("i", 2)}),
    )
    summed = file.op("ADD", halves, (1, 6, 5, 2), options=(11, {0: ("b", 1)}))
    joined = file.op("CONCATENATION", [summed, *parts[::-1]], (1, 6, 5, 6), options=(10, {0: ("i", -1)}))
    pooled = file.op("MEAN", [joined, file.constant([1, 2], "INT32")], (1, 6), options=(27, {}))
    gate = file.op("LOGISTIC", [pooled], (1, 6))
    y = file.op("MUL", [joined, gate], (1, 6, 5, 6), options=(21, {}))
    both = np.maximum(X[..., :2] + X[..., 2:], 0)
    wanted = np.concatenate([both, X[..., 1:], X[..., :1]], axis=3)
    wanted = wanted / (1 + np.exp(-wanted.mean((1, 2), keepdims=True)))
    np.testing.assert_allclose(answers(file.save(tmp_path, y), X)[0], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("before", [0, 1, 2])
def test_channels_of_zeros_in_a_sum(before, tmp_path):
    """MeliusNet adds to its newest channels alone, which its files say with a padding of the others."""
    file = File(FULL)
    part = file.op(
        "SLICE", [0, file.constant([0, 0, 0, 1], "INT32"), file.constant([1, 6, 5, 2], "INT32")], (1, 6, 5, 2)
    )
    pads = np.array([[0, 0], [0, 0], [0, 0], [before, 2 - before]])
    padded = file.op("PAD", [part, file.constant(pads, "INT32")], FULL)
    y = file.op("ADD", [0, padded], FULL, options=(11, {}))
    wanted = X.copy()
    wanted[..., before : before + 2] += X[..., 1:3]
    np.testing.assert_allclose(answers(file.save(tmp_path, y), X)[0], wanted, rtol=1e-6)


def test_vectors_become_images_in_the_order_of_channels_last(tmp_path):
    """A pixel squeezed away and back, half floats and whole numbers as weights."""
    file = File(FULL)
    pooled = file.op("AVERAGE_POOL_2D", [0], (1, 1, 1, 4), options=(5, window((6, 5), (6, 5), 1)))
    flat = file.op("SQUEEZE", [pooled], (1, 4), options=(30, {0: ints(1, 2)}))
    between = file.op("EXPAND_DIMS", [flat, file.constant(1, "INT32")], (1, 1, 4))
    again = file.op("EXPAND_DIMS", [between, file.constant(-2, "INT32")], (1, 1, 1, 4))
    flat = file.op("SQUEEZE", [file.op("RELU", [again], (1, 1, 1, 4))], (1, 4), options=(30, {0: ints(1, 2)}))
    half = file.op("DEQUANTIZE", [file.constant(W[:5, 0, 0], "FLOAT16")], (5, 4))
    dense = file.op("FULLY_CONNECTED", [flat, half, -1], (1, 5), options=(8, {}))
    scales = {4: Table({2: np.array([0.5, 0.25], np.float32), 3: np.array([1, 0], np.int64), 6: ("i", 0)})}
    whole = file.constant(RNG.integers(-9, 9, (2, 5)), "INT8", more=scales)
    numbers = np.frombuffer(file.buffers[-1].tobytes(), np.int8).reshape(2, 5)
    weight = file.op("DEQUANTIZE", [whole], (2, 5))
    y = file.op("FULLY_CONNECTED", [dense, weight, -1], (1, 2), options=(8, {}))
    middle = np.maximum(X.mean((1, 2)), 0) @ W[:5, 0, 0].astype(np.float16).astype(np.float32).T
    wanted = middle @ ((numbers - np.array([[1], [0]])) * np.array([[0.5], [0.25]])).T
    np.testing.assert_allclose(answers(file.save(tmp_path, y), X)[0], wanted, rtol=1e-4, atol=1e-5)


# ---- the file's own forms ----


def small(**how):
    """A network with every custom operator, a float convolution, and a dense layer."""
    rng = np.random.default_rng(3)
    file = File((1, 6, 6, 3), **how)
    options = (1, strides(0, (1, 1), _3=("b", 1)))
    weight, bias = rng.standard_normal((8, 3, 3, 3)), rng.standard_normal(8)
    first = file.op("CONV_2D", [0, file.constant(weight), file.constant(bias)], (1, 6, 6, 8), options=options)
    signs = file.op("LceQuantize", [first], (1, 6, 6, 1), out="INT32")
    kernel = [file.constant(packed(sign(rng.standard_normal((8, 3, 3, 8)))), "INT32") for _ in range(2)]
    threshold = file.constant(rng.integers(30, 40, 8), "INT32")
    bits = file.op(
        "LceBconv2d", [signs, kernel[0], -1, -1, threshold], (1, 6, 6, 1), custom=bconv_options(8, pad_values=1),
        out="INT32",
    )  # fmt: skip
    pool = {"filter_height": 2, "filter_width": 2, "stride_height": 2, "stride_width": 2, "padding": 1}
    pooled = file.op("LceBMaxPool2d", [bits], (1, 3, 3, 1), custom=pool, out="INT32")
    scale, bias = (file.constant(rng.standard_normal(8)) for _ in range(2))
    inputs = [pooled, kernel[1], scale, bias, -1]
    second = file.op("LceBconv2d", inputs, (1, 2, 2, 8), custom=bconv_options(8, stride=(2, 2)))
    flat = file.op("RESHAPE", [second, file.constant([1, 32], "INT32")], (1, 32))
    dense = file.constant(rng.standard_normal((10, 32)))
    y = file.op("FULLY_CONNECTED", [flat, dense, -1], (1, 10), options=(8, {}))
    return file, file.op("SOFTMAX", [y], (1, 10), options=(9, {0: ("f", 1.0)}))


def test_codes_and_versions_of_older_and_newer_files(tmp_path):
    x = RNG.standard_normal((3, 6, 6, 3)).astype(np.float32)
    found = []
    for version, codes in ((1, "old"), (2, "both"), (3, "new"), (3, "both")):
        file, y = small(version=version, codes=codes)
        found.append(answers(file.save(tmp_path, y), x)[0])
        np.testing.assert_array_equal(found[0], found[-1])
    file, y = small(version=4)
    with pytest.raises(ConvertError, match="schema version: got 4"):
        tflite.read(file.save(tmp_path, y))


def test_numbers_may_lie_behind_the_flatbuffer(tmp_path):
    """As they do in files above 2 GB."""
    bias = RNG.standard_normal(4).astype(np.float32)
    file = File(FULL)
    added = file.constant(bias)
    y = file.op("ADD", [0, added], FULL, options=(11, {}))
    unknown = 0x1122334455667788
    file.buffers[-1] = Table({1: ("Q", unknown), 2: ("Q", bias.nbytes)})
    data = bytearray(file.bytes(y))
    struct.pack_into("<Q", data, data.index(struct.pack("<Q", unknown)), len(data))
    path = tmp_path / "model.tflite"
    path.write_bytes(data + bias.tobytes())
    np.testing.assert_allclose(answers(path, X)[0], X + bias, rtol=1e-6)
    path.write_bytes(data + bias.tobytes()[:-1])
    with pytest.raises(ConvertError, match="damaged: 16 bytes"):
        tflite.read(path)


def test_flexbuffers_of_other_widths():
    """One byte a number, as the engine's converter writes them: {a: -2, bc: 3}."""
    data = b"a\0bc\0" + bytes([2, 6, 5, 2, 1, 2, 254, 3, 4, 8, 4, 36, 1])
    assert flex_map(data) == {"a": -2, "bc": 3}
    assert flex_map(flex({"key": -70000, "other": 5})) == {"key": -70000, "other": 5}


# ---- what is refused ----


def one(kind, others=(), shape=FULL, given=FULL, **how):
    def build():
        file = File(given)
        return file, file.op(kind, [0, *constants(file, others)], shape, **how)

    return build


def odd_bconv(out="FLOAT32", channels=4, biases=2, missing=(), **options):
    def build():
        file = File(FULL)
        signs = file.op("LceQuantize", [0], (1, 6, 5, 1), out="INT32")
        weight = file.constant(packed(np.ones((2, 3, 3, 4))), "INT32")
        chosen = {k: v for k, v in {**bconv_options(channels), **options}.items() if k not in missing}
        inputs = [signs, weight, file.constant(np.ones(2)), file.constant(np.ones(biases)), -1]
        return file, file.op("LceBconv2d", inputs, (1, 6, 5, 2), custom=chosen, out=out)

    return build


REFUSED = [
    (one("TRANSPOSE_CONV"), "node 'tensor/1' .TRANSPOSE_CONV.: there is no layer for this operator"),
    (one("FlexSign"), "node 'tensor/1' .FlexSign.: a custom operator that is not known"),
    (one("LceBsign"), "LceBsign.: a custom operator that is not known"),
    (one("QUANTIZE", out="INT8"), "QUANTIZE.: there is no layer"),
    (one("RELU", out="INT8"), "the type INT8, wanted FLOAT32 or BOOL: convert it again from the float model"),
    (one("RELU", shape=(1, 6, 5, 5)), r"output: shape: got .1, 6, 5, 5., wanted .1, 6, 5, 4."),
    (one("ADD", [C4[:3]], options=(11, {})), "shape mismatch"),
    (one("ADD", [C4], options=(11, {0: ("b", 5)})), "fused activation: got number 5"),
    (one("ADD", [C4], options=(12, {})), "options: got those of number 12, wanted 11"),
    (one("RESHAPE", [ints(120, 1)], (120, 1)), "wanted the batch of .1, 6, 5, 4. in front"),
    (one("RESHAPE", [ints(1, 121)], (1, 121)), "wanted as many numbers as"),
    (one("STRIDED_SLICE", [ints(0), ints(1), ints(1)], options=(32, {4: ("i", 1)})), "no dropped axes"),
    (one("MAX_POOL_2D", options=(5, window((2, 2), (0, 1), 0))), "strides .0, 1.*wanted sizes from 1"),
    (one("CONV_2D", [W[..., :3]], options=(1, strides(0, (1, 1)))), "8 outputs of 3 channels, on an image of 4"),
    (one("CONV_2D", [ints(1)], options=(1, strides(0, (1, 1)))), "constant FLOAT32 weights of 4 axes"),
    (one("FULLY_CONNECTED", [FLAT], (1, 3), options=(8, {1: ("b", 1)})), "shuffled weights"),
    (odd_bconv(biases=3), "input 3: got FLOAT32 .3,., wanted FLOAT32 .2,."),
    (odd_bconv(out="INT8"), "the type INT8, wanted FLOAT32"),
    (odd_bconv(channels=5), "channels_in 5, pad_values 0: wanted 4"),
    (odd_bconv(pad_values=2), "pad_values 2: wanted 4, and 0 or 1"),
    (odd_bconv(missing=["padding"]), "custom options: .'padding'. are missing"),
    (one("LceDequantize"), "packed bits: got False, wanted True"),
    (one("RELU", given=(1, 0, 5, 4)), "wanted every size but the batch's"),
    (one("RELU", given=(1, 1 << 15, 1 << 15, 4)), "wanted fewer numbers"),
]


@pytest.mark.parametrize(("build", "message"), REFUSED, ids=range(len(REFUSED)))
def test_refusals_say_which_node_and_why(build, message, tmp_path):
    file, y = build()
    with pytest.raises(ConvertError, match=r"model\.tflite: .*" + message):
        tflite.read(file.save(tmp_path, y))


def test_every_refused_operator_is_named_once(tmp_path):
    file = File(FULL)
    first = file.op("SIN", [0], FULL)
    behind = file.op("RELU6", [file.op("RELU", [first], FULL)], FULL)
    second = file.op("COS", [0], FULL)
    y = file.op("ADD", [file.op("TANH", [behind], FULL), second], FULL, options=(11, {}))
    with pytest.raises(
        ConvertError, match=r"^model.tflite: node 'tensor/1' .SIN.: [^;]*; node 'tensor/4' .COS.: [^;]*$"
    ):
        tflite.read(file.save(tmp_path, y))


def test_names_of_inputs_are_their_own(tmp_path):
    """Whatever they are: here one that the reader would give, and one twice."""
    file = File(FULL, FULL)
    for tensor in file.tensors:
        tensor[3] = "value 1"
    y = file.op("SUB", [file.op("RELU", [0], FULL), 1], FULL, options=(28, {}))
    net = tflite.read(file.save(tmp_path, y))
    assert list(net.inputs) == ["value 1", "value 1 (1)"]
    first = X.transpose(0, 3, 1, 2)
    (got,) = reading.run(net, {"value 1": first, "value 1 (1)": first * 2})
    np.testing.assert_allclose(got, np.maximum(first, 0) - 2 * first, rtol=1e-6)


def test_inputs_have_to_be_floats_of_a_known_size(tmp_path):
    file = File()
    file.inputs = [file.value((1, 4), "INT8")]
    with pytest.raises(ConvertError, match="input 'tensor/0': type: got INT8, wanted FLOAT32"):
        tflite.read(file.save(tmp_path, file.op("RELU", [0], (1, 4))))
    file = File()
    file.inputs = [file.value((1, 1, 1, 4), more={7: ints(-1, -1, -1, 4)})]
    with pytest.raises(ConvertError, match=r"free axes .0, 1, 2.: wanted every size but the batch's"):
        tflite.read(file.save(tmp_path, file.op("RELU", [0], (1, 1, 1, 4))))
    file = File()
    file.inputs = [file.value((1, 4), more={7: ints(-1, 4)})]
    assert tflite.read(file.save(tmp_path, file.op("RELU", [0], (1, 4)))).inputs == {"tensor/0": (0, 4)}


# ---- bytes of any kind ----


def harmless(path, data):
    """Whether the bytes are a net; nothing but ConvertError may come of them."""
    path.write_bytes(data)
    try:
        tflite.read(path)
    except ConvertError:
        return False
    return True


def test_mutated_files_give_nothing_but_convert_errors(tmp_path):
    rng = np.random.default_rng(4)
    file, y = small()
    whole, path = file.bytes(y), tmp_path / "m.tflite"
    structure = [i for i, b in enumerate(whole) if b]
    taken = 0
    for round_ in range(6000):
        data = bytearray(whole)
        for _ in range(int(rng.integers(1, 4))):
            at = int(rng.choice(structure)) if round_ % 2 else int(rng.integers(len(data)))
            data[at] = int(rng.choice([0, 1, 127, 128, 255, rng.integers(256)]))
        taken += harmless(path, data)
    assert 500 < taken < 5500
    assert harmless(path, whole)
    assert not any(harmless(path, whole[:n]) for n in range(0, len(whole) - 8, 97))


def test_mutated_files_convert_or_are_refused(tmp_path):
    """The whole way, with the passes and the answers; fewer, since that takes longer."""
    rng = np.random.default_rng(5)
    file, y = small()
    whole, path, taken = file.bytes(y), tmp_path / "m.tflite", 0
    for _ in range(300):
        data = bytearray(whole)
        data[int(rng.integers(len(data)))] = int(rng.integers(256))
        path.write_bytes(data)
        try:
            convert(path)
            taken += 1
        except ConvertError:
            pass
    assert 50 < taken < 300


def test_small_files_cannot_ask_for_much_memory(tmp_path):
    file = File(FULL)
    long = np.ones(3000, np.float32)
    wide = file.op("ADD", [file.constant(long[:, None]), file.constant(long[None])], (3000, 3000), options=(11, {}))
    with pytest.raises(ConvertError, match="constants grow beyond what a file of this size can mean"):
        tflite.read(file.save(tmp_path, wide))
    data = bytearray(small()[0].bytes(0))
    model = struct.unpack_from("<I", data)[0]
    graphs = model + 8 + 8 * 2
    vector = graphs + struct.unpack_from("<I", data, graphs)[0]
    struct.pack_into("<I", data, vector, 1 << 30)
    assert not harmless(tmp_path / "m.tflite", data)
