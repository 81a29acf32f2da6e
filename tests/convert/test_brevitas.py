"""Networks that Brevitas exports to QONNX, against Brevitas' own answers."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch, which CI has")
qnn = pytest.importorskip("brevitas.nn", reason="needs Brevitas, which CI has")

from brevitas.export import export_qonnx  # noqa: E402
from brevitas.quant import SignedBinaryActPerTensorConst, SignedBinaryWeightPerTensorConst  # noqa: E402

from bnnengine import Engine  # noqa: E402
from bnnengine.convert import ConvertError, convert  # noqa: E402

nn = torch.nn


class Weights(SignedBinaryWeightPerTensorConst):
    scaling_const = 1.0


class Activations(SignedBinaryActPerTensorConst):
    scaling_const, min_val, max_val = 1.0, -1.0, 1.0


def sign():
    return qnn.QuantIdentity(act_quant=Activations)


def conv(i, o, **fields):
    return qnn.QuantConv2d(i, o, 3, weight_quant=Weights, bias=False, **fields)


def settled(network):
    """In evaluation mode, with batch norms whose gammas have either sign."""
    for part in network.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            part.running_mean.uniform_(-2, 2)
            part.running_var.uniform_(0.5, 2)
            part.weight.data.uniform_(-1.5, 1.5)
            part.bias.data.uniform_(-0.5, 0.5)
    return network.eval()


def export(network, x, path):
    with torch.no_grad():
        y = network(x)
    export_qonnx(network, x[:1], str(path))
    return getattr(y, "value", y).numpy()


def test_a_convolutional_network(tmp_path, isa):
    torch.manual_seed(0)
    network = settled(nn.Sequential(
        sign(), conv(3, 16), nn.BatchNorm2d(16), sign(), nn.MaxPool2d(2), conv(16, 24, stride=2), nn.BatchNorm2d(24),
        sign(), nn.Flatten(), qnn.QuantLinear(24 * 9, 10, weight_quant=Weights, bias=False), nn.BatchNorm1d(10),
    ))  # fmt: skip
    x = torch.randn(5, 3, 16, 16)
    y = export(network, x, tmp_path / "m.onnx")
    done = convert(tmp_path / "m.onnx", samples=x.numpy())
    assert [layer.binary for layer in done.report.layers] == [True, True, True]
    assert (done.verification.top1, done.verification.difference < 1e-5) == (1, True)
    got = Engine(done.model.to_bytes(), isa=isa).predict(np.ascontiguousarray(x.numpy().transpose(0, 2, 3, 1)))
    np.testing.assert_allclose(got, y, rtol=1e-5, atol=1e-4)


def test_activations_of_two_bits_are_refused_by_name(tmp_path):
    network = nn.Sequential(
        qnn.QuantIdentity(bit_width=2), qnn.QuantLinear(12, 4, weight_quant=Weights, bias=False)
    ).eval()  # fmt: skip
    export(network, torch.randn(2, 12), tmp_path / "m.onnx")
    with pytest.raises(ConvertError, match=r"Quant.*: activations of 2 bits: .*retrain"):
        convert(tmp_path / "m.onnx")
