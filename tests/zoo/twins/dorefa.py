"""DoReFa-Net with 1-bit weights and activations, from examples/DoReFa-Net/alexnet-dorefa.py of Tensorpack."""

import torch
from torch import nn
from torch.nn import functional

from twins.parts import SameMaxPool2d, same_padding


class Round(nn.Module):
    """0 and 1."""

    zero_one = True

    def forward(self, x):
        return torch.round(torch.clamp(x, 0, 1))


class Clip(nn.Module):
    def forward(self, x):
        return torch.clamp(x, 0, 1)


def one_bit(weight):
    return torch.where(weight == 0, torch.ones_like(weight), torch.sign(weight)) * weight.abs().mean()


class BinaryConv(nn.Conv2d):
    def __init__(self, channels, outputs, kernel, groups):
        super().__init__(channels, outputs, kernel, groups=groups, bias=False)

    def forward(self, x):
        x = functional.pad(x, same_padding(x, self.kernel_size[0], 1))
        return functional.conv2d(x, one_bit(self.weight), groups=self.groups)


class BinaryLinear(nn.Linear):
    def forward(self, x):
        return functional.linear(x, one_bit(self.weight), self.bias)


class DoReFaNet(nn.Module):
    def __init__(self, classes, left=36, groups=2):
        super().__init__()
        self.conv0, self.activate0 = nn.Conv2d(3, 96, 12, 4), Round()
        self.conv1, self.bn1, self.pool1 = (
            BinaryConv(96, 256, 5, groups),
            nn.BatchNorm2d(256, 1e-4),
            SameMaxPool2d(3, 2),
        )
        self.activate1, self.conv2, self.bn2 = Round(), BinaryConv(256, 384, 3, 1), nn.BatchNorm2d(384, 1e-4)
        self.pool2, self.activate2 = SameMaxPool2d(3, 2), Round()
        self.conv3, self.bn3, self.activate3 = BinaryConv(384, 384, 3, groups), nn.BatchNorm2d(384, 1e-4), Round()
        self.conv4, self.bn4, self.pool4 = (
            BinaryConv(384, 256, 3, groups),
            nn.BatchNorm2d(256, 1e-4),
            nn.MaxPool2d(3, 2),
        )
        self.activate4, self.flatten = Round(), nn.Flatten()
        self.fc0, self.bnfc0, self.activate5 = BinaryLinear(256 * left, 4096), nn.BatchNorm1d(4096, 1e-4), Round()
        self.fc1, self.bnfc1, self.activate6 = BinaryLinear(4096, 4096, bias=False), nn.BatchNorm1d(4096, 1e-4), Clip()
        self.fct = nn.Linear(4096, classes)

    def forward(self, x):
        x = self.activate0(self.conv0(x))
        x = self.activate1(self.pool1(self.bn1(self.conv1(x))))
        x = self.activate2(self.pool2(self.bn2(self.conv2(x))))
        x = self.activate3(self.bn3(self.conv3(x)))
        x = self.flatten(self.activate4(self.pool4(self.bn4(self.conv4(x)))))
        x = self.activate5(self.bnfc0(self.fc0(x)))
        return self.fct(self.activate6(self.bnfc1(self.fc1(x))))
