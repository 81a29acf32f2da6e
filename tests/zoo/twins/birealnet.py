"""Bi-Real Net, from pytorch_implementation/BiReal18_34/birealnet.py of the authors' repository."""

import torch
from torch import nn
from torch.nn import functional

from twins.parts import Add, GlobalAveragePool, Sign


class HardBinaryConv(nn.Module):
    def __init__(self, channels, outputs, stride):
        super().__init__()
        self.stride, self.shape = stride, (outputs, channels, 3, 3)
        self.weights = nn.Parameter(torch.randn(outputs * channels * 9, 1) * 0.05)

    def forward(self, x):
        real = self.weights.view(self.shape)
        magnitude = real.abs().mean((1, 2, 3), keepdim=True)
        return functional.conv2d(x, magnitude * torch.sign(real), stride=self.stride, padding=1)


class Block(nn.Module):
    def __init__(self, channels, outputs, stride):
        super().__init__()
        self.binary_activation, self.binary_conv = Sign(), HardBinaryConv(channels, outputs, stride)
        self.bn1, self.downsample, self.add = nn.BatchNorm2d(outputs), None, Add()
        if stride != 1:
            conv = nn.Conv2d(channels, outputs, 1, bias=False)
            self.downsample = nn.Sequential(nn.AvgPool2d(2, 2), conv, nn.BatchNorm2d(outputs))

    def forward(self, x):
        residual = x if self.downsample is None else self.downsample(x)
        return self.add(self.bn1(self.binary_conv(self.binary_activation(x))), residual)


class BiRealNet(nn.Module):
    def __init__(self, counts, classes):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = self._layer(64, 64, counts[0], 1)
        self.layer2 = self._layer(64, 128, counts[1], 2)
        self.layer3 = self._layer(128, 256, counts[2], 2)
        self.layer4 = self._layer(256, 512, counts[3], 2)
        self.avgpool, self.fc = GlobalAveragePool(), nn.Linear(512, classes)

    def _layer(self, channels, outputs, count, stride):
        return nn.Sequential(Block(channels, outputs, stride), *(Block(outputs, outputs, 1) for _ in range(count - 1)))

    def forward(self, x):
        x = self.maxpool(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x))


def birealnet18(classes):
    return BiRealNet((4, 4, 4, 4), classes)


def birealnet34(classes):
    return BiRealNet((6, 8, 12, 6), classes)
