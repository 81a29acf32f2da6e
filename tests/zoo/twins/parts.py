"""Modules that the twins share. Everything that computes is a module, so that hooks see what goes in and comes out."""

import torch
from torch import nn
from torch.nn import functional


def same_padding(x, kernel, stride):
    """TensorFlow's, as torch.nn.functional.pad takes it: left, right, top, bottom."""
    amounts = []
    for size in (x.shape[3], x.shape[2]):
        outputs = (size + stride - 1) // stride
        total = max((outputs - 1) * stride + kernel - size, 0)
        amounts += [total // 2, total - total // 2]
    return amounts


def signs(x):
    """+1, for zero too, and -1."""
    return (x >= 0).to(x.dtype) * 2 - 1


class Sign(nn.Module):
    def forward(self, x):
        return signs(x)


class SameConv2d(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow does."""

    def __init__(self, channels, outputs, kernel, stride=1, groups=1):
        super().__init__(channels, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x):
        x = functional.pad(x, same_padding(x, self.kernel_size[0], self.stride[0]))
        return functional.conv2d(x, self.weight, stride=self.stride, groups=self.groups)


class BinaryConv2d(SameConv2d):
    """With the signs of its weights."""

    pad_value = 0.0

    def forward(self, x):
        x = functional.pad(x, same_padding(x, self.kernel_size[0], self.stride[0]), value=self.pad_value)
        return functional.conv2d(x, signs(self.weight), stride=self.stride)


class OnePaddedBinaryConv2d(BinaryConv2d):
    pad_value = 1.0


class SameMaxPool2d(nn.Module):
    def __init__(self, kernel, stride):
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x):
        x = functional.pad(x, same_padding(x, self.kernel, self.stride), value=-torch.inf)
        return functional.max_pool2d(x, self.kernel, self.stride)


class SameAveragePool2d(nn.Module):
    """The mean of the pixels that are there."""

    def __init__(self, kernel, stride):
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x):
        padding = same_padding(x, self.kernel, self.stride)
        there = functional.pad(torch.ones_like(x[:1, :1]), padding)
        return functional.avg_pool2d(functional.pad(x, padding), self.kernel, self.stride) / functional.avg_pool2d(
            there, self.kernel, self.stride
        )


class Blur(nn.Module):
    """1 2 1 by 1 2 1, over 16, each channel by itself, by steps of 2."""

    def forward(self, x):
        taps = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]], dtype=x.dtype) / 16
        weight = taps.expand(x.shape[1], 1, 3, 3)
        return functional.conv2d(functional.pad(x, same_padding(x, 3, 2)), weight, stride=2, groups=x.shape[1])


class GlobalAveragePool(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


class Add(nn.Module):
    def forward(self, first, second):
        return first + second


class ScaleChannels(nn.Module):
    """An image times one number for each of its channels."""

    def forward(self, x, scales):
        return x * scales[:, :, None, None]


class Concat(nn.Module):
    def forward(self, *parts):
        return torch.cat(parts, 1)


class Channels(nn.Module):
    """Some channels, from first to last, which counts from the end where it is negative."""

    def __init__(self, first, last):
        super().__init__()
        self.first, self.last = first, last

    def forward(self, x):
        return x[:, self.first : self.last]


def keras_norm(channels, epsilon=1e-5, affine=True):
    return nn.BatchNorm2d(channels, eps=epsilon, affine=affine)
