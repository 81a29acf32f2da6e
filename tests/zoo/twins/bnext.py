"""BNext-T, from src/bnext.py of the authors, with temperatures at the end of their training: plain signs."""

import torch
from torch import nn
from torch.nn import functional

from twins.parts import Add, Concat, GlobalAveragePool, ScaleChannels, Sign
from twins.reactnet import FirstConv, Move

CHAINS = [("move", "binary_activation", "binary_activation")]


class BinaryConv(nn.Conv2d):
    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.register_buffer("temperature", torch.full((1,), 1e-8))  # which counts while it is large

    def forward(self, x):
        return functional.conv2d(x, torch.sign(self.weight), stride=self.stride, padding=self.padding)


class Share(nn.Module):
    def forward(self, x, share):
        return share * x


class Rest(nn.Module):
    def forward(self, x, share):
        return (1 - share) * x


class Times(nn.Module):
    def forward(self, x, y):
        return x * y


class SqueezeAndExpand(nn.Module):
    def __init__(self, channels):
        super().__init__()
        few = channels // 8
        self.se = nn.Sequential(GlobalAveragePool(), Pointwise(channels, few), nn.ReLU(), Pointwise(few, channels))
        self.attention = nn.Sigmoid()

    def forward(self, x):
        return self.attention(self.se(x))


class Pointwise(nn.Module):
    """A 1x1 convolution of one pixel."""

    def __init__(self, channels, outputs):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(outputs, channels, 1, 1)), nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        return functional.linear(x, self.weight.flatten(1), self.bias)


class Unit(nn.Module):
    """FFN_1x1, FFN_3x3 and, multiplied, Attention."""

    def __init__(self, channels, kernel, stride=1, multiplied=False):
        super().__init__()
        self.stride, self.multiplied, self.clamped = stride, multiplied, kernel == 1
        self.move, self.binary_activation = Move(channels), Sign()
        self.binary_conv = BinaryConv(channels, channels, kernel, stride, kernel // 2, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.activation1, self.activation2 = nn.PReLU(channels), nn.PReLU(channels)
        if stride == 2:
            self.pool_input = nn.AvgPool2d(2)
            self.pool_shortcut = nn.AvgPool2d(2) if multiplied else None
        self.mix_input, self.mix_x, self.mix = Share(), Rest(), Add()
        self.se, self.excite, self.add = SqueezeAndExpand(channels), ScaleChannels(), Add()
        self.multiply = Times() if multiplied else None
        self.scale = nn.Parameter(torch.full((1, channels, 1, 1), 0.5))

    def forward(self, x):
        y = self.binary_conv(self.binary_activation(self.move(x)))
        y = self.activation2(self.norm1(y))
        pooled = self.pool_input(x) if self.stride == 2 else x
        share = self.scale.clamp(0, 1) if self.clamped else self.scale
        y = self.excite(y, self.se(self.mix(self.mix_input(pooled, share), self.mix_x(y, share))))
        if not self.multiplied:
            return self.add(self.norm2(y), pooled)
        shortcut = self.activation1(x)
        if self.stride == 2:
            shortcut = self.pool_shortcut(shortcut)
        return self.add(self.norm2(self.multiply(y, shortcut)), shortcut)


class Block(nn.Module):
    def __init__(self, number, channels, outputs, stride):
        super().__init__()
        self.Attention = Unit(channels, 3, stride, multiplied=number % 2 == 0)
        if channels == outputs:
            self.FFN = Unit(channels, 1)
        else:
            self.FFN_1, self.FFN_2, self.cat = Unit(channels, 1), Unit(channels, 1), Concat()

    def forward(self, x):
        x = self.Attention(x)
        return self.FFN(x) if hasattr(self, "FFN") else self.cat(self.FFN_1(x), self.FFN_2(x))


class BNextT(nn.Module):
    def __init__(self, classes):
        super().__init__()
        sizes = [(32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2)]
        sizes += [(512, 512, 1)] * 5 + [(512, 1024, 2), (1024, 1024, 1)]
        self.feature = nn.Sequential(FirstConv(), *(Block(k, *size) for k, size in enumerate(sizes, 1)))
        self.feature[0].add_module("prelu", nn.PReLU(32))  # which the authors have there and do not use
        self.prelu, self.pool1, self.fc = nn.PReLU(1024), GlobalAveragePool(), nn.Linear(1024, classes)

    def forward(self, x):
        return self.fc(self.pool1(self.prelu(self.feature(x))))
