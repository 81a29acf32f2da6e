"""XNOR-Net on AlexNet, from models/alexnetxnor.lua of the authors, with the input scale K of their paper."""

import torch
from torch import nn
from torch.nn import functional

from twins.parts import Sign


class BinaryConv(nn.Conv2d):
    """Signs of the weights, times their mean magnitude for each output."""

    def __init__(self, channels, outputs, kernel, padding=0):
        super().__init__(channels, outputs, kernel, padding=padding, bias=False)

    def forward(self, x):
        alpha = self.weight.flatten(1).norm(1, 1) / self.weight[0].numel()
        y = functional.conv2d(x, torch.sign(self.weight), padding=self.padding)
        return y * alpha[None, :, None, None]


class Absolute(nn.Module):
    def forward(self, x):
        return x.abs()


class ChannelMean(nn.Module):
    def forward(self, x):
        return x.mean(1, keepdim=True)


class PixelScale(nn.Module):
    def forward(self, y, scale):
        return y * scale


class InputScale(nn.Module):
    def __init__(self, kernel, padding):
        super().__init__()
        self.abs, self.mean = Absolute(), ChannelMean()
        self.box, self.multiply = nn.AvgPool2d(kernel, 1, padding), PixelScale()

    def forward(self, x, y):
        return self.multiply(y, self.box(self.mean(self.abs(x))))


class XnorNet(nn.Module):
    def __init__(self, classes, left=6, scaled=True):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 96, 11, 4, 2, bias=False), nn.BatchNorm2d(96, 1e-5)
        self.relu1, self.pool1, self.pool2, self.pool5 = nn.ReLU(), *(nn.MaxPool2d(3, 2) for _ in range(3))
        sizes = [(96, 256, 5, 2), (256, 384, 3, 1), (384, 384, 3, 1), (384, 256, 3, 1), (256, 4096, left, 0),
                 (4096, 4096, 1, 0)]  # fmt: skip
        for number, (channels, outputs, kernel, padding) in enumerate(sizes, 2):
            setattr(self, f"bn{number}", nn.BatchNorm2d(channels, 1e-4))
            setattr(self, f"sign{number}", Sign())
            setattr(self, f"conv{number}", BinaryConv(channels, outputs, kernel, padding))
            if scaled:
                setattr(self, f"scale{number}", InputScale(kernel, padding))
        self.bn8, self.relu8, self.flatten = nn.BatchNorm2d(4096, 1e-3), nn.ReLU(), nn.Flatten()
        self.fc = nn.Linear(4096, classes)

    def forward(self, x):
        x = self.pool1(self.relu1(self.bn1(self.conv1(x))))
        for number in range(2, 8):
            x = getattr(self, f"bn{number}")(x)
            y = getattr(self, f"conv{number}")(getattr(self, f"sign{number}")(x))
            scale, pool = getattr(self, f"scale{number}", None), getattr(self, f"pool{number}", None)
            y = y if scale is None else scale(x, y)
            x = y if pool is None else pool(y)
        return self.fc(self.flatten(self.relu8(self.bn8(x))))
