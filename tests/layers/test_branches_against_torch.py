"""The references of the float branches' layers against PyTorch's."""

import numpy as np
import pytest

from bnnengine import (
    GELU,
    Abs,
    AveragePool2d,
    BinaryConv1d,
    BlurPool2d,
    ChannelShuffle,
    Clip,
    Concat,
    Conv1d,
    GlobalMaxPool,
    Graph,
    HardSigmoid,
    HardSwish,
    HardTanh,
    LayerNorm,
    LeakyReLU,
    Pad,
    PReLU,
    ReLU,
    ReLU6,
    Reshape,
    Sigmoid,
    Sign,
    SiLU,
    Slice,
    Tanh,
    TopK,
    Transpose,
    Upsample2d,
)

torch = pytest.importorskip("torch", reason="needs PyTorch, which CI has")
F = torch.nn.functional


def image(*shape):
    return (np.random.default_rng(0).standard_normal(shape) * 3).astype(np.float32)


def nchw(x):
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))


def close(got, wanted):
    np.testing.assert_allclose(got, np.asarray(wanted), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "function"),
    [
        (ReLU(), F.relu),
        (ReLU6(), F.relu6),
        (HardTanh(), F.hardtanh),
        (Clip(-0.5, 2), lambda x: torch.clamp(x, -0.5, 2)),
        (LeakyReLU(0.2), lambda x: F.leaky_relu(x, 0.2)),
        (HardSigmoid(), F.hardsigmoid),
        (Sigmoid(), torch.sigmoid),
        (Tanh(), torch.tanh),
        (GELU(), F.gelu),
        (GELU("tanh"), lambda x: F.gelu(x, approximate="tanh")),
        (SiLU(), F.silu),
        (HardSwish(), F.hardswish),
        (Abs(), torch.abs),
        (LayerNorm(np.arange(5), np.arange(5) - 2, 1e-3),
         lambda x: F.layer_norm(x, (5,), torch.arange(5.0), torch.arange(5.0) - 2, 1e-3)),
        (Slice(1, -1), lambda x: x[..., 1:-1]),
        (Transpose((2, 0, 1)), lambda x: x.permute(0, 3, 1, 2)),
        (Reshape((10, -1)), lambda x: x.reshape(-1, 10, 12)),
    ],
    ids=lambda x: type(x).__name__ if not callable(x) else "",
)  # fmt: skip
def test_functions(layer, function):
    x = image(2, 6, 4, 5)
    close(layer.reference(x), function(torch.from_numpy(x)))


@pytest.mark.parametrize(
    ("layer", "function"),
    [
        (PReLU([0.1, -0.5, 0, 2, 1, 3]), lambda x: F.prelu(x, torch.tensor([0.1, -0.5, 0, 2, 1, 3]))),
        (ChannelShuffle(3), lambda x: F.channel_shuffle(x, 3)),
        (Pad(((1, 2), (3, 0)), -1.5), lambda x: F.pad(x, (3, 0, 1, 2), value=-1.5)),
        (AveragePool2d(3, 2, 1), lambda x: F.avg_pool2d(x, 3, 2, 1)),
        (AveragePool2d(3, 2, 1, count_include_pad=False), lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)),
        (Upsample2d((2, 3)), lambda x: F.interpolate(x, scale_factor=(2, 3), mode="nearest")),
        (BlurPool2d(), lambda x: F.conv2d(
            x, torch.outer(*[torch.tensor([0.25, 0.5, 0.25])] * 2).expand(6, 1, 3, 3), None, 2, 1, groups=6)),
    ],
    ids=lambda x: type(x).__name__ if not callable(x) else "",
)  # fmt: skip
def test_functions_of_images(layer, function):
    x = image(2, 8, 6, 6)
    close(np.moveaxis(layer.reference(x), -1, 1), function(nchw(x)))


def test_global_max_pool():
    x = image(2, 8, 6, 5)
    close(GlobalMaxPool().reference(x), nchw(x).amax((2, 3)))


def test_top_k():
    x = image(4, 9)
    values, indices = TopK(4).reference(x)
    wanted = torch.topk(torch.from_numpy(x), 4)
    close(values, wanted.values)
    np.testing.assert_array_equal(indices, wanted.indices)


def test_concat():
    x, y = image(2, 3, 4, 5), image(2, 3, 2, 5)
    close(Concat(axis=1).reference(x, y), torch.cat([torch.from_numpy(x), torch.from_numpy(y)], 2))


@pytest.mark.parametrize(("kind", "groups"), [(BinaryConv1d, 1), (BinaryConv1d, 2), (Conv1d, 1), (Conv1d, 3)])
def test_convolution_of_one_dimension(kind, groups):
    """Keyword spotting: (length, channels), and the engine runs it as an image one pixel high."""
    from bnnengine import Engine

    rng = np.random.default_rng(0)
    weight = rng.choice([-1.0, 1.0], (12, 3, 6 // groups))
    layer = kind(weight, strides=2, padding=(2, 1), dilation=2, groups=groups, scale=0.5, bias=np.arange(12))
    g = Graph()
    x = g.input((20, 6), name="x")
    model = g.model(g(layer, g(Sign(), x)))
    samples = image(3, 20, 6)
    signs = torch.from_numpy(np.where(samples >= 0, 1.0, -1.0)).permute(0, 2, 1)
    sums = F.conv1d(F.pad(signs, (2, 1)), torch.from_numpy(weight).permute(0, 2, 1), None, 2, 0, 2, groups)
    wanted = sums.permute(0, 2, 1).numpy() * 0.5 + np.arange(12)
    close(model.reference(samples), wanted)
    close(Engine(model.to_bytes()).predict(samples), wanted)
