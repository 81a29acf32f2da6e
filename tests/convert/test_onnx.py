"""ONNX and QONNX files: converted, and compared with what made them."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs the onnx package, which CI has")

import bnnengine  # noqa: E402
from bnnengine import Engine, Model  # noqa: E402
from bnnengine.cli import main  # noqa: E402
from bnnengine.convert import ConvertError, convert, verify  # noqa: E402


@pytest.mark.shared
def test_qonnx_mlp_gives_the_logits_of_its_own_executor(shared_data, tmp_path, isa):
    folder = shared_data / "qonnx_tfc_1w1a"
    done = convert(folder / "TFC_1W1A.onnx", tmp_path / "tfc.bnn")
    assert "4 layers binary, 0 real-valued" in str(done.report)
    with np.load(folder / "io.npz") as told, np.load(shared_data / "mnist_test.npz") as digits:
        wanted, labels = told["y_all"], digits["y"]
        x = digits["x"].astype(np.float32)[..., None] / 255
        y = Engine.load(tmp_path / "tfc.bnn", isa=isa).predict(x)
        np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(y.argmax(1), wanted.argmax(1))
        assert (y.argmax(1) == labels).mean() == 0.9296
        checked = verify(folder / "TFC_1W1A.onnx", tmp_path / "tfc.bnn", x[:20].transpose(0, 3, 1, 2))
    assert checked.top1 == 1
    assert checked.difference < 1e-6


torch = pytest.importorskip("torch", reason="needs PyTorch, which CI has")
nn = torch.nn


class StraightThrough(nn.Module):
    """Bi-Real Net's and ReActNet's activation: the sign, and a polynomial whose gradient training takes."""

    def forward(self, x):
        forward = torch.sign(x)
        out1 = torch.where(x < -1, torch.full_like(x, -1.0), x * x + 2 * x)
        out2 = torch.where(x < 0, out1, -x * x + 2 * x)
        out3 = torch.where(x < 1, out2, torch.ones_like(x))
        return forward.detach() - out3.detach() + out3


class PlainSign(nn.Module):
    def forward(self, x):
        return torch.sign(x)


class Compared(nn.Module):
    def forward(self, x):
        return torch.where(x >= 0, torch.ones_like(x), -torch.ones_like(x))


class HardBinaryConv(nn.Module):
    """alpha * sign(weight), computed in the graph."""

    def __init__(self, i, o, k=3, stride=1, padding=1):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(o, i, k, k))
        self.stride, self.padding = stride, padding

    def forward(self, x):
        scale = self.weight.abs().mean((1, 2, 3), keepdim=True).detach()
        hard = scale * torch.sign(self.weight)
        clipped = torch.clamp(self.weight, -1.0, 1.0)
        return nn.functional.conv2d(x, hard.detach() - clipped.detach() + clipped, None, self.stride, self.padding)


class Shift(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.bias = nn.Parameter(torch.randn(1, n, 1, 1) * 0.3)

    def forward(self, x):
        return x + self.bias.expand_as(x)


class Block(nn.Module):
    def __init__(self, n, activation):
        super().__init__()
        self.move, self.sign, self.conv, self.bn = Shift(n), activation(), HardBinaryConv(n, n), nn.BatchNorm2d(n)
        self.before, self.prelu, self.after = Shift(n), nn.PReLU(n), Shift(n)

    def forward(self, x):
        y = self.bn(self.conv(self.sign(self.move(x)))) + x
        return self.after(self.prelu(self.before(y)))


class Gate(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.down, self.up = nn.Conv2d(n, 4, 1), nn.Conv2d(4, n, 1)

    def forward(self, x):
        pooled = nn.functional.adaptive_avg_pool2d(x, 1)
        return x * torch.sigmoid(self.up(torch.relu(self.down(pooled))))


def network(activation):
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.MaxPool2d(2), Block(16, activation), Gate(16),
        Block(16, activation), nn.AvgPool2d(2), nn.Conv2d(16, 8, 1), activation(), nn.Flatten(), nn.Linear(8 * 16, 10),
    )  # fmt: skip


def settled(module, seed):
    """In evaluation mode, with batch-norm statistics and scales of either sign that are not trivial."""
    torch.manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_(-0.5, 0.5)
            part.running_var.uniform_(0.5, 2)
            part.weight.data.uniform_(-1.5, 1.5)
            part.bias.data.uniform_(-0.5, 0.5)
    return module.eval()


@pytest.mark.parametrize("activation", [StraightThrough, PlainSign, Compared])
@pytest.mark.parametrize("dynamo", [False, True])
def test_pytorch_networks_answer_as_before(activation, dynamo, tmp_path):
    if dynamo:
        pytest.importorskip("onnxscript", reason="the newer exporter needs onnxscript")
    torch.manual_seed(0)
    module = settled(network(activation), 1)
    x = torch.randn(6, 3, 32, 32)
    path = tmp_path / "model.onnx"
    torch.onnx.export(module, (x[:1],), str(path), dynamo=dynamo)
    done = convert(path, tmp_path / "model.bnn")
    assert str(done.report).startswith("2 layers binary, 5 real-valued")
    assert done.verification.top1 == 1
    with torch.no_grad():
        wanted = module(x).numpy()
    got = Engine.load(tmp_path / "model.bnn").predict(x.numpy().transpose(0, 2, 3, 1))
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())
    assert Model.load(tmp_path / "model.bnn").inputs[0].shape == (32, 32, 3)


def test_what_cannot_be_taken_is_named(tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)).eval()
    path = tmp_path / "model.onnx"
    torch.onnx.export(module, (torch.randn(1, 3, 8, 8),), str(path), dynamo=False)
    with pytest.raises(
        ConvertError, match=r"node .*InstanceNormalization.: operator InstanceNormalization is not known"
    ):
        convert(path)


def node(kind, inputs, outputs=("y",), domain="", **attributes):
    return onnx.helper.make_node(kind, inputs, list(outputs), domain=domain, **attributes)


def save(path, nodes, constants=None, shape=(1, 4)):
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes, "g", [onnx.helper.make_tensor_value_info("x", kind, shape)],
        [onnx.helper.make_tensor_value_info("y", kind, None)],
        [onnx.numpy_helper.from_array(np.asarray(a, np.float32), n) for n, a in (constants or {}).items()],
    )  # fmt: skip
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    return path


IMAGE = (1, 4, 5, 6)


def pooled(kind, constants=(), **attributes):
    """An operator on an image, and the mean of what it makes."""
    first = node(kind, ["x", *constants], ["t"], **attributes)
    return [first, node("GlobalAveragePool", ["t"], ["p"]), node("Flatten", ["p"])]


NORM = {"g": [1, -2, 0.5, 0], "b": np.ones(4), "m": np.zeros(4), "v": np.ones(4)}


@pytest.mark.parametrize(
    ("nodes", "constants", "message"),
    [
        (pooled("MaxPool", kernel_shape=[2, 2], dilations=[1, 2]), {}, r"MaxPool.: dilations: got .1, 2., wanted 1"),
        (pooled("AveragePool", kernel_shape=[2, 2], dilations=[2, 2]), {}, r"AveragePool.: dilations: got .2, 2."),
        (pooled("BatchNormalization", "gbmv", training_mode=1), NORM, "training_mode: 1 is not taken"),
        (pooled("Dropout", ["ratio", "on"]), {"ratio": 0.5, "on": 1}, "training_mode: got True"),
        (pooled("Resize", ["", "s"], mode="nearest", nearest_mode="ceil"), {"s": [1, 1, 2, 2]}, "half_pixel and ceil"),
        (pooled("Resize", ["", "s"], mode="nearest", coordinate_transformation_mode="align_corners"),
         {"s": [1, 1, 1, 3]}, "got align_corners and round_prefer_floor, wanted asymmetric and floor"),
        (pooled("Resize", ["", "s"], mode="nearest", coordinate_transformation_mode="asymmetric"),
         {"s": [1, 1, 1, 3]}, "got asymmetric and round_prefer_floor"),
    ],
    ids=["max", "average", "norm", "dropout", "ceil", "corners", "asymmetric"],
)  # fmt: skip
def test_attributes_that_no_layer_has_are_refused(nodes, constants, message, tmp_path):
    with pytest.raises(ConvertError, match=message):
        convert(save(tmp_path / "m.onnx", nodes, constants, IMAGE))


def test_a_bias_of_one_row(tmp_path):
    nodes = [node("Gemm", ["x", "w", "b"], alpha=0.5, beta=2.0)]
    done = convert(save(tmp_path / "m.onnx", nodes, {"w": np.ones((4, 3)), "b": [[1, 2, 3]]}))
    assert done.verification.difference < 1e-6


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize(
    ("how", "turn"),
    [("asymmetric", "floor"), ("half_pixel", "round_prefer_floor"), ("pytorch_half_pixel", "round_prefer_ceil")],
)
def test_resizing_by_whole_factors_repeats_pixels(how, turn, factor, tmp_path):
    attributes = {"mode": "nearest", "coordinate_transformation_mode": how, "nearest_mode": turn}
    nodes = [node("Resize", ["x", "", "s"], ["t"], **attributes), node("Flatten", ["t"])]
    done = convert(save(tmp_path / "m.onnx", nodes, {"s": [1, 1, factor, 1]}, IMAGE))
    assert done.verification.difference == 0


@pytest.mark.parametrize(
    ("nodes", "constants", "message"),
    [
        ([node("Quant", ["x", "s", "z", "n"], domain="onnx.brevitas")], {"s": 1, "z": 0, "n": 2}, "of 2 bits"),
        ([node("MultiThreshold", ["x", "t"], domain="finn.custom_op.general")], {"t": np.ones((4, 3))}, "got 3 of a"),
        ([node("Secret", ["x"], domain="com.example")], {}, "domain 'com.example' is not known"),
        ([node("Erf", ["x"])], {}, "Erf.: there is no layer"),
        ([node("Det", ["x"], ["m"]), node("Hardmax", ["m"])], {}, "Det is not known; .*Hardmax is not"),
        ([node("MatMul", ["x", "w"])], {"w": np.ones((5, 3))}, "MatMul.: .*inputs: got 4, wanted 5"),
        ([node("Add", ["x", "w"])], {"w": np.arange(3)[None]}, "shape .1, 3.: wanted one number, or one a channel .4."),
        ([node("Relu", ["nobody"])], {}, "outputs .'y'.: constant, or made by nothing"),
    ],
)  # fmt: skip
def test_errors_say_which_node_and_why(nodes, constants, message, tmp_path):
    with pytest.raises(ConvertError, match=message):
        convert(save(tmp_path / "m.onnx", nodes, constants))


SIGNS = np.sign(np.random.default_rng(5).standard_normal((4, 3)))


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ([node("Quant", ["x", "s", "z", "n"], ["q"], "onnx.brevitas", signed=0, narrow=0, rounding_mode="ROUND"),
          node("MatMul", ["q", "w"])],
         {"s": 0.25, "z": 0, "n": 1, "w": SIGNS}),
        ([node("BipolarQuant", ["x", "s"], ["q"], "onnx.brevitas"), node("Flatten", ["q"], ["f"]),
          node("MatMul", ["f", "w"])], {"s": 0.25, "w": SIGNS}),
        ([node("MultiThreshold", ["x", "t"], ["q"], "qonnx.custom_op.general", out_scale=2.0, out_bias=-1.0),
          node("MatMul", ["q", "w"])], {"t": [[0.5], [-0.25], [0.0], [1.0]], "w": SIGNS}),
        ([node("MultiThreshold", ["x", "t"], ["q"], "finn.custom_op.general"),
          node("XnorPopcountMatMul", ["q", "w"], domain="finn.custom_op.general")],
         {"t": [[0.5], [-0.25], [0.0], [1.0]], "w": SIGNS > 0}),
        ([node("LessOrEqual", ["x", "t"], ["c"]), node("Where", ["c", "p", "m"], ["q"]), node("MatMul", ["q", "w"])],
         {"t": 0.25, "p": -1, "m": 1, "w": SIGNS}),
        ([node("Clip", ["x", "l", "h"], ["c"]), node("Round", ["c"], ["q"]), node("MatMul", ["q", "w"])],
         {"l": 0, "h": 1, "w": SIGNS}),
    ],
    ids=["quant", "bipolar", "multi_threshold", "finn", "less", "round"],
)  # fmt: skip
def test_one_bit_forms_are_binary_and_exact(nodes, constants, tmp_path):
    """On values at and beside every level, where the source's own reading in NumPy decides."""
    path = save(tmp_path / "m.onnx", nodes, constants)
    x = np.random.default_rng(0).choice([-0.25, 0, 0.125, 0.25, 0.5, 0.75, 1], (500, 4)).astype(np.float32)
    x = np.concatenate([x, np.nextafter(x, np.float32(9)), np.nextafter(x, np.float32(-9))])
    done = convert(path, samples=x)
    assert [layer.binary for layer in done.report.layers] == [True]
    assert (done.verification.difference, done.verification.samples) == (0, 1500)


def test_the_report_counts_where_the_sign_of_zero_mattered(tmp_path):
    path = save(tmp_path / "m.onnx", [node("Sign", ["x"], ["s"]), node("MatMul", ["s", "w"])], {"w": SIGNS})
    done = convert(path, samples=np.array([[0, 1, -1, 2], [1, 0, 0, 3], [1, 2, 3, 4]], np.float32))
    assert done.verification.zeros == 3
    assert "sign(0): 3 values before a sign were 0" in str(done.report)


def test_strict_refuses_layers_that_are_binary_on_one_side_only(tmp_path):
    nodes = [node("Relu", ["x"], ["r"]), node("MatMul", ["r", "w"])]
    path = save(tmp_path / "m.onnx", nodes, {"w": SIGNS})
    assert "its input is no sign" in str(convert(path).report)
    with pytest.raises(ConvertError, match=r"should be binary: its input is no sign"):
        convert(path, tmp_path / "m.bnn", strict=True)
    assert not (tmp_path / "m.bnn").exists()


@pytest.mark.parametrize(
    ("source", "message"),
    [("m.pth", "a pickle may run code"), ("m.txt", "wanted a file of .onnx"), (3, "got int, wanted a path")],
)
def test_other_sources_are_refused(source, message):
    with pytest.raises(ConvertError, match=message):
        bnnengine.convert(source)
    with pytest.raises(ConvertError, match=message):
        convert(source)


def test_files_that_cannot_be_opened_give_the_systems_error(tmp_path):
    for path, kind in ((tmp_path / "nothing.onnx", FileNotFoundError), (tmp_path / "folder.onnx", IsADirectoryError)):
        if kind is IsADirectoryError:
            path.mkdir()
        with pytest.raises(kind):
            convert(path)


def test_external_data_stay_below_the_models_folder(tmp_path):
    inside = tmp_path / "model"
    inside.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(64))
    path = save(inside / "m.onnx", [node("MatMul", ["x", "w"])], {"w": np.ones((4, 4))})
    proto = onnx.load(str(path))
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../secret.bin"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ConvertError, match="lie outside the model's folder"):
        convert(path)


def test_mutated_files_give_nothing_but_convert_errors(tmp_path):
    rng = np.random.default_rng(0)
    nodes = [node("Sign", ["x"], ["s"]), node("MatMul", ["s", "w"], ["m"]), node("Relu", ["m"])]
    whole = save(tmp_path / "m.onnx", nodes, {"w": np.sign(rng.standard_normal((4, 3)))}).read_bytes()
    refused = 0
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(int(rng.integers(1, 4))):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        (tmp_path / "m.onnx").write_bytes(data)
        try:
            convert(tmp_path / "m.onnx")
        except ConvertError:
            refused += 1
    assert refused > 500


@pytest.mark.shared
def test_the_command_converts_and_verifies(shared_data, tmp_path, capsys):
    source, packed = shared_data / "qonnx_tfc_1w1a" / "TFC_1W1A.onnx", tmp_path / "tfc.bnn"
    assert main(["convert", str(source), str(packed)]) == 0
    assert "4 layers binary, 0 real-valued" in capsys.readouterr().out
    assert main(["verify", str(source), str(packed), "--data", str(source.with_name("io.npz"))]) == 0
    assert "same top-1 100.00%" in capsys.readouterr().out
    assert main(["convert", str(tmp_path / "none.txt"), str(packed)]) == 1
    assert "wanted a file of .onnx" in capsys.readouterr().err
