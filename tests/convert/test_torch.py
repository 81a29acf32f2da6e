"""PyTorch modules, directly, in every style in which binary layers are written by hand."""

import copy
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch, which CI has")

from bnnengine import Engine  # noqa: E402
from bnnengine.convert import ConvertError, convert, register, verify  # noqa: E402

nn, F = torch.nn, torch.nn.functional


class SignFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sign()

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() <= 1)


class ByFunction(nn.Module):
    def forward(self, x):
        return SignFunction.apply(x)


class ByTanh(nn.Module):
    """A hard tanh before the sign, and the straight-through sum behind it."""

    def forward(self, x):
        x = F.hardtanh(x)
        return x + (x.sign() - x).detach()


class ByComparison(nn.Module):
    def forward(self, x):
        return (x >= 0).float() * 2 - 1


class ByNoise(nn.Module):
    """How some make sign(0) be +1."""

    def forward(self, x):
        return x.sign().add(0.5).sign()


class ByPolynomial(nn.Module):
    """Bi-Real Net's, with masks in numbers."""

    def forward(self, x):
        out = torch.sign(x)
        m1, m2, m3 = x < -1, x < 0, x < 1
        a = -1 * m1.float() + (x * x + 2 * x) * (1 - m1.float())
        b = a * m2.float() + (-x * x + 2 * x) * (1 - m2.float())
        c = b * m3.float() + 1 * (1 - m3.float())
        return out.detach() - c.detach() + c


class ScaledConv(nn.Conv2d):
    """XNOR-Net's weights: signs, scaled by their mean magnitude."""

    def forward(self, x):
        weight = self.weight.sign() * self.weight.abs().mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class StandardConv(nn.Conv2d):
    """IR-Net's: standardised before the sign, scaled by powers of 2."""

    def forward(self, x):
        w = self.weight
        w = w - w.view(w.size(0), -1).mean(-1).view(w.size(0), 1, 1, 1)
        w = w / w.view(w.size(0), -1).pow(2).mean(-1).sqrt().view(w.size(0), 1, 1, 1)
        scale = torch.pow(torch.tensor([2.0]), (w.abs().view(w.size(0), -1).mean(-1).log() / np.log(2)).round())
        weight = SignFunction.apply(w) * scale.view(w.size(0), 1, 1, 1).detach()
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class DataConv(nn.Conv2d):
    """BNN.pytorch's: weights and input are replaced through .data in forward."""

    def forward(self, x):
        x.data = x.data.sign()
        if not hasattr(self.weight, "org"):
            self.weight.org = self.weight.data.clone()
        self.weight.data = self.weight.org.sign()
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding)


class PaddedConv(ScaledConv):
    """Padded with +1 or -1 before."""

    def __init__(self, *sizes, value, **fields):
        super().__init__(*sizes, **fields)
        self.value = value

    def forward(self, x):
        return super().forward(F.pad(x, (1, 1, 1, 1), value=self.value))


class RPReLU(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first, self.last = (nn.Parameter(torch.randn(1, channels, 1, 1)) for _ in range(2))
        self.slope = nn.PReLU(channels)

    def forward(self, x):
        return self.slope(x + self.first.expand_as(x)) + self.last.expand_as(x)


class Residual(nn.Module):
    def __init__(self, part):
        super().__init__()
        self.part = part

    def forward(self, x):
        return self.part(x) + x


class Gate(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.down, self.up = nn.Linear(channels, 4), nn.Linear(4, channels)

    def forward(self, x):
        n, channels = x.shape[:2]
        gate = torch.sigmoid(self.up(F.relu(self.down(F.adaptive_avg_pool2d(x, 1).view(n, channels)))))
        return x * gate.view(n, channels, 1, 1)


def settled(module, seed=0):
    torch.manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_(-0.5, 0.5)
            part.running_var.uniform_(0.5, 2)
            part.weight.data.uniform_(-1.5, 1.5)
            part.bias.data.uniform_(-0.5, 0.5)
    return module.eval()


def exported(module, x, path, route):
    """The module itself, or a file that one of PyTorch's exporters makes of it."""
    if route == "direct":
        return module
    pytest.importorskip("onnx", reason="needs the onnx package, which CI has")
    if route == "dynamo":
        pytest.importorskip("onnxscript", reason="the newer exporter needs onnxscript")
    torch.onnx.export(copy.deepcopy(module), (x[:1].clone(),), str(path), dynamo=route == "dynamo")
    return path


ROUTES = ("direct", "torchscript", "dynamo")


def answers(module, x, binary, source=None):
    """Converts, and compares with the module's own answers, after which the module must be as it was."""
    before = {name: value.clone() for name, value in module.state_dict().items()}
    done = convert(module if source is None else source, example=x, samples=x.numpy())
    after = module.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not any(hasattr(p, "org") for p in module.parameters())
    with torch.no_grad():
        wanted = module(x.clone()).numpy()
    got = Engine(done.model.to_bytes()).predict(np.ascontiguousarray(x.numpy().transpose(0, 2, 3, 1)))
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())
    assert ("PyTorch" if source is None or source is module else "ONNX Runtime") in done.verification.by
    assert sum(layer.binary for layer in done.report.layers) == binary, str(done.report)
    return done


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("sign", [ByFunction, ByTanh, ByComparison, ByNoise, ByPolynomial])
def test_signs(sign, route, tmp_path):
    torch.manual_seed(1)
    block = Residual(nn.Sequential(sign(), ScaledConv(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.PReLU(8)))
    net = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), block, nn.AvgPool2d(4), nn.Flatten(),
                        nn.Linear(8 * 4, 5))  # fmt: skip
    x = torch.randn(6, 3, 16, 16)
    answers(settled(net), x, 1, exported(net, x, tmp_path / "m.onnx", route))


@pytest.mark.parametrize(
    "conv",
    [
        lambda: ScaledConv(8, 6, 3, stride=2, padding=1, bias=False),
        lambda: StandardConv(8, 6, 3, padding=1),
        lambda: DataConv(8, 6, 3, padding=1),
        lambda: PaddedConv(8, 6, 3, value=1),
        lambda: PaddedConv(8, 6, 3, value=-1),
        lambda: ScaledConv(8, 8, 3, groups=2, dilation=2, padding="same"),
    ],
    ids=["scaled", "standardised", "data", "plus", "minus", "groups"],
)
@pytest.mark.parametrize("route", ROUTES)
def test_weights(conv, route, tmp_path):
    torch.manual_seed(2)
    conv = conv()
    if isinstance(conv, DataConv) and route != "direct":
        pytest.skip("PyTorch's exporters do not follow assignments to .data")
    parts = [nn.BatchNorm2d(8), ByFunction(), conv, nn.BatchNorm2d(conv.out_channels), RPReLU(conv.out_channels)]
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), *parts, Gate(conv.out_channels), nn.AdaptiveAvgPool2d(1),
                        nn.Flatten(), nn.Dropout(), nn.Softmax(1))  # fmt: skip
    x = torch.randn(5, 3, 12, 12)
    answers(settled(net), x, 1, exported(net, x, tmp_path / "m.onnx", route))


class Shuffled(nn.Module):
    """Halves, a concatenation, and a shuffle written with views; a nearest-neighbour upsampling; a slice."""

    def __init__(self):
        super().__init__()
        self.conv = ScaledConv(4, 4, 1, bias=False)

    def forward(self, x):
        n, c, h, w = x.shape
        first, second = x.chunk(2, 1)
        x = torch.cat([self.conv(SignFunction.apply(first)), F.hardswish(second)], 1)
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        x = F.interpolate(x, scale_factor=2)[:, 1:7]
        return F.max_pool2d(x.clamp(-1, 1).mul_(2), 3, 2, 1).mean((2, 3))


def test_structure():
    answers(Shuffled().eval(), torch.randn(3, 8, 6, 5), binary=1)


def test_a_recorded_run_is_the_exported_one(monkeypatch):
    """Where torch.export refuses, one run is recorded; here both are made of one module."""
    torch.manual_seed(3)
    net = settled(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Hardtanh(inplace=True), Shuffled()))
    x = torch.randn(4, 3, 9, 9)
    exported = answers(net, x, binary=1).model

    def refuse(*_, **__):
        raise RuntimeError("no")

    monkeypatch.setattr(torch.export, "export", refuse)
    recorded = answers(net, x, binary=1).model
    kinds = [sorted(type(n.layer).__name__ for n in model.nodes) for model in (exported, recorded)]
    assert kinds[0] == kinds[1]


def scaled_by_a_number(x):
    return x * x.abs().mean().item()


def branched(x):
    return x if x.mean() > 0 else -x


def through_numpy(x):
    return x + torch.from_numpy(np.abs(x.mean((2, 3), keepdim=True).numpy()))


def a_stale_view(x):
    means = x.mean((2, 3), keepdim=True)
    view = means.view(-1)
    means.relu_().add_(1)
    return x * view[:, None, None]


def branched_far_away(x):
    return x if x.mean() > 1e9 else -x


@pytest.mark.parametrize("function", [scaled_by_a_number, branched, branched_far_away, through_numpy, a_stale_view])
def test_a_recorded_run_that_the_input_decides_is_refused(function):
    class Data(nn.Conv2d):
        def forward(self, x):
            self.weight.data = torch.where(self.weight >= 0, 1.0, -1.0)
            return function(super().forward(x))

    with pytest.raises(ConvertError, match=r"depend on the numbers of the input: .*\.item"):
        convert(Data(3, 4, 3), example=torch.randn(1, 3, 5, 5))


def test_signs_by_where_are_recorded_too():
    class Data(nn.Conv2d):
        def forward(self, x):
            self.weight.data = torch.where(self.weight >= 0, 1.0, -1.0)
            return super().forward(torch.where(x >= 0, 1.0, -1.0))

    class Assigned(nn.Module):
        def forward(self, x):
            x.data = torch.where(x >= 0, 1.0, -1.0)
            return x

    for sign in (nn.Identity(), Assigned()):
        answers(nn.Sequential(sign, Data(3, 4, 3), nn.Flatten()), torch.randn(4, 3, 3, 3), binary=1)
        answers(nn.Sequential(sign, nn.Conv2d(3, 4, 3), nn.Flatten()), torch.randn(4, 3, 3, 3), binary=0)


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
def test_other_floats(kind):
    net = nn.Sequential(ByFunction(), ScaledConv(4, 4, 3), nn.Flatten(), nn.Linear(16, 3)).eval().to(kind)
    done = convert(net, example=torch.randn(1, 4, 4, 4, dtype=kind))
    assert "PyTorch" in done.verification.by
    assert done.verification.difference < {torch.bfloat16: 0.05}.get(kind, 0.005)


def test_modules_that_take_no_floats_are_compared_with_their_reading():
    class Pixels(nn.Module):
        def forward(self, x):
            return torch.bitwise_or(x, 0).float().flatten(1) if x.dtype != torch.uint8 else x.float().flatten(1) * 2

    done = convert(Pixels(), example=torch.ones(1, 1, 2, 2, dtype=torch.uint8))
    assert "a reading in NumPy (PyTorch cannot run it on the samples" in done.verification.by


def test_scripted_modules_and_odd_samples_are_refused():
    net, x = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).eval(), torch.randn(2, 1, 2, 2)
    with pytest.raises(ConvertError, match="a scripted or traced module"):
        convert(torch.jit.script(net), example=x)
    for samples in ("abc", torch.randn(2, 1, 2, 2, requires_grad=True)):
        with pytest.raises(ConvertError, match=r"samples of .*: wanted an array of numbers"):
            convert(net, example=x, samples=samples)


class Odd(nn.Module):
    def forward(self, x):
        return torch.fft.rfft(x).abs()


def test_unknown_operators_are_named_with_their_module_and_can_be_registered():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), Odd(), nn.Flatten()).eval()
    with pytest.raises(ConvertError, match=r"operator aten.*fft.* is not known in module '1': register"):
        convert(net, example=torch.randn(1, 3, 4, 4))
    register(Odd, lambda odd: nn.ReLU())
    try:
        done = convert(net, example=torch.randn(1, 3, 4, 4), check=False)
        assert [layer.name for layer in done.report.layers] == ["conv2d_1"]
    finally:
        register(Odd, None)
    with pytest.raises(ConvertError, match="is not known"):
        convert(net, example=torch.randn(1, 3, 4, 4))


class Called(nn.Module):
    """A function of an image, and of weights."""

    def __init__(self, function):
        super().__init__()
        self.function, self.weight = function, nn.Parameter(torch.randn(4, 4, 1, 1))

    def forward(self, x):
        return self.function(x, self.weight).mean((2, 3))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x, w: torch.div(x, 0.3, rounding_mode="floor"), "Floor.*no layer"),
        (lambda x, w: torch.div(x, 0.3, rounding_mode="trunc"), "node 'div': rounding_mode: got 'trunc', wanted"),
        (lambda x, w: F.conv2d(x, torch.round(w, decimals=1)), "node 'round.*': decimals: got 1, wanted 0"),
        (lambda x, w: x[:1], r"a slice of the batch: got \[0:1\], wanted all of its samples"),
    ],
    ids=["floor", "trunc", "decimals", "batch"],
)
def test_arguments_that_no_layer_has_are_refused(function, message):
    with pytest.raises(ConvertError, match=message) as caught:
        convert(Called(function), example=torch.randn(1, 4, 3, 3))
    assert "form is not known" not in str(caught.value)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w: F.conv2d(x, torch.div(w, 0.25, rounding_mode="floor")),
        lambda x, w: torch.rsub(x, 1.0, alpha=3),
    ],
    ids=["weights", "rsub"],
)
def test_arguments_of_arithmetic(function):
    answers(Called(function), torch.randn(3, 4, 3, 3), binary=0)


class InPlace(nn.Module):
    """Changes its input and a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.calls += 1
        return F.relu_(x)


def test_what_forward_changes_is_no_output():
    net = nn.Sequential(InPlace(), nn.Flatten(), nn.Linear(12, 3)).eval()
    done = answers(copy.deepcopy(net), torch.randn(3, 3, 2, 2), binary=0)
    assert len(done.model.outputs) == 1


class Cut(nn.Module):
    """Rows are cut and their halves become channels, by the views of a channel shuffle."""

    def forward(self, x):
        n, c, h, w = x.shape
        return x.view(n, c, 2, h // 2, w).transpose(1, 2).reshape(n, 2 * c, h // 2, w)


class Flat(nn.Module):
    """A batch norm over as many positions as channels."""

    def __init__(self, channels):
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)
        self.norm.running_mean.uniform_(-2, 2)

    def forward(self, x):
        return self.norm(x.flatten(2))


@pytest.mark.parametrize("route", ["direct", "torchscript"])
@pytest.mark.parametrize("part", [Cut(), Flat(16)], ids=["cut", "flat"])
def test_axes_that_are_no_channels(part, route, tmp_path):
    net = nn.Sequential(nn.Conv2d(3, 16, 1), part, nn.Flatten(), nn.Linear(256, 3)).eval()
    x = torch.randn(4, 3, 4, 4)
    answers(net, x, 0, exported(net, x, tmp_path / "m.onnx", route))


@pytest.mark.parametrize("route", ["direct", "torchscript"])
def test_weights_of_zero_stay_zero(route, tmp_path):
    """Their sign is 0 in PyTorch, so that the layer has weights of two magnitudes."""
    net, x = nn.Sequential(ByFunction(), ScaledConv(4, 4, 3), nn.Flatten()).eval(), torch.randn(3, 4, 3, 3)
    net[1].weight.data[0, 0, :2] = 0
    done = answers(net, x, 0, exported(net, x, tmp_path / "m.onnx", route))
    assert "more than one magnitude" in done.report.layers[0].reason


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w: x.mean((2, 3), keepdim=True).expand(-1, -1, 4, 6).sum((2, 3), keepdim=True),
        lambda x, w: F.conv2d(x.mean((2, 3), keepdim=True).expand_as(x), w.expand(-1, -1, 3, 3), padding=1),
        lambda x, w: torch.cat([x, x.mean((2, 3), keepdim=True).expand_as(x)], 1),
        lambda x, w: (x.mean((2, 3), keepdim=True).expand_as(x) * 2).sum((2, 3), keepdim=True),
        lambda x, w: F.relu(x * x.mean((2, 3), keepdim=True).expand_as(x) - x.mean(1, keepdim=True).expand_as(x)),
        lambda x, w: x.mean(1, keepdim=True).expand_as(x).sum(1, keepdim=True),
    ],
    ids=["sum", "padded", "concat", "constant", "merged", "channels"],
)
@pytest.mark.parametrize("route", ["direct", "torchscript"])
def test_expanded_values(function, route, tmp_path):
    net, x = Called(function), torch.randn(4, 4, 5, 7)
    answers(net, x, 0, exported(net, x, tmp_path / "m.onnx", route))


@pytest.mark.parametrize(
    ("example", "message"),
    [(None, "example: wanted an input"), ("x", "example: got str"), (torch.randn(1, 9, 4, 4), "does not run on it")],
)
def test_examples_that_do_not_fit_are_refused(example, message):
    with pytest.raises(ConvertError, match=message):
        convert(nn.Conv2d(3, 4, 1), example=example)


def test_verify_takes_modules_too(tmp_path):
    net = nn.Sequential(nn.Flatten(), ByFunction(), nn.Linear(12, 3)).eval()
    x = torch.randn(7, 3, 2, 2)
    convert(net, tmp_path / "m.bnn", example=x)
    found = verify(net, tmp_path / "m.bnn", x, example=x)
    assert (found.samples, found.top1) == (7, 1)


def test_answers_that_differ_are_warned_of():
    """A sign of what a ReLU gives is 0 or 1 in PyTorch, and never -1 here."""
    net = nn.Sequential(nn.Flatten(), nn.ReLU(), ByFunction(), nn.Linear(48, 3)).eval()
    with pytest.warns(UserWarning, match="Sequential: 8 samples .*\n.*\nanswers differ by more than rounding explains"):
        assert convert(net, example=torch.randn(1, 3, 4, 4)).verification.differs
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not convert(net[2:], example=torch.randn(1, 48)).verification.differs


def test_zeros_before_a_sign_are_counted():
    net = nn.Sequential(nn.Flatten(), ByFunction(), nn.Linear(4, 3)).eval()
    x = torch.tensor([[[[0.0, 1.0], [2.0, 0.0]]]])
    assert convert(net, example=x, samples=x).verification.zeros == 2
