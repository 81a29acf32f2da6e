"""BinaryNet's VGG, from models/vgg_cifar10_binary.py of BinaryNet.pytorch, BinaryConnect's, and CNV of Brevitas."""

import torch
from torch import nn
from torch.nn import functional

from twins.parts import Sign


class BinaryConv(nn.Conv2d):
    def forward(self, x):
        y = functional.conv2d(x, torch.sign(self.weight), padding=self.padding)
        return y if self.bias is None else y + self.bias[None, :, None, None]


class BinaryLinear(nn.Linear):
    def forward(self, x):
        y = functional.linear(x, torch.sign(self.weight))
        return y if self.bias is None else y + self.bias


class Vgg(nn.Module):
    def __init__(self, classes, side=32, width=1, activation=Sign):
        super().__init__()
        layers, channels = [], 3
        for number, outputs in enumerate([128 * width] * 2 + [256 * width] * 2 + [512 * width, 512]):
            layers.append(BinaryConv(channels, outputs, 3, padding=1))
            if number % 2:
                layers.append(nn.MaxPool2d(2, 2))
            layers += [nn.BatchNorm2d(outputs), activation()]
            channels = outputs
        self.features, self.flatten = nn.Sequential(*layers), nn.Flatten()
        self.classifier = nn.Sequential(
            BinaryLinear(512 * (side // 8) ** 2, 1024), nn.BatchNorm1d(1024), activation(),
            BinaryLinear(1024, 1024), nn.BatchNorm1d(1024), activation(),
            BinaryLinear(1024, classes), nn.BatchNorm1d(classes, affine=False),
        )  # fmt: skip

    def forward(self, x):
        return self.classifier(self.flatten(self.features(x)))


class TensorNorm(nn.Module):
    """A batch norm with one mean, one variance, one scale and one bias for all."""

    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(1))
        self.register_buffer("running_mean", torch.full((1,), 0.3))
        self.register_buffer("running_var", torch.full((1,), 1.7))

    def forward(self, x):
        return (x - self.running_mean) / (self.running_var + 1e-4) ** 0.5 * self.weight + self.bias


class Cnv(nn.Module):
    def __init__(self, classes):
        super().__init__()
        layers, channels = [nn.Identity()], 3
        for outputs, pool in ((64, 0), (64, 1), (128, 0), (128, 1), (256, 0), (256, 0)):
            layers += [BinaryConv(channels, outputs, 3, bias=False), nn.BatchNorm2d(outputs, 1e-4), Sign()]
            layers += [nn.MaxPool2d(2)] * pool
            channels = outputs
        self.conv_features, self.flatten = nn.ModuleList(layers), nn.Flatten()
        self.linear_features = nn.Sequential(
            BinaryLinear(256, 512, False), nn.BatchNorm1d(512, 1e-4), Sign(),
            BinaryLinear(512, 512, False), nn.BatchNorm1d(512, 1e-4), Sign(),
            BinaryLinear(512, classes, False), TensorNorm(),
        )  # fmt: skip

    def forward(self, x):
        for layer in self.conv_features[1:]:
            x = layer(x)
        return self.linear_features(self.flatten(x))
