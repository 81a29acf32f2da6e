"""ReActNet-A and ReActNet-18, from mobilenet/2_step2/reactnet.py and resnet/2_step2/birealnet.py of the authors."""

import torch
from torch import nn
from torch.nn import functional

from twins.parts import Add, Concat, GlobalAveragePool, Sign

# modules of the authors' that are one layer in the zoo, which has the name of the last or of the PReLU
CHAINS = [
    ("move11", "binary_activation1", "binary_activation1"),
    ("move21", "binary_activation2", "binary_activation2"),
    ("move0", "binary_activation", "binary_activation"),
    ("move12", "move13", "prelu1"),
    ("move22", "move23", "prelu2"),
    ("move1", "move2", "prelu"),
]


class Move(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x):
        return x + self.bias


class ScaledBinaryConv(nn.Module):
    """Signs of the weights, times their mean magnitude for each output; padded with zeros."""

    def __init__(self, channels, outputs, kernel, stride):
        super().__init__()
        self.stride, self.shape = stride, (outputs, channels, kernel, kernel)

    def convolve(self, x, real):
        magnitude = real.abs().mean((1, 2, 3), keepdim=True)
        return functional.conv2d(x, magnitude * torch.sign(real), stride=self.stride, padding=self.shape[-1] // 2)


class FlatBinaryConv(ScaledBinaryConv):
    """Keeps its weights as one column."""

    def __init__(self, channels, outputs, kernel, stride=1):
        super().__init__(channels, outputs, kernel, stride)
        self.weights = nn.Parameter(torch.randn(outputs * channels * kernel**2, 1) * 0.05)

    def forward(self, x):
        return self.convolve(x, self.weights.view(self.shape))


class BinaryConv(ScaledBinaryConv):
    def __init__(self, channels, outputs, kernel, stride):
        super().__init__(channels, outputs, kernel, stride)
        self.weight = nn.Parameter(torch.randn(self.shape) * 0.05)

    def forward(self, x):
        return self.convolve(x, self.weight)


class FirstConv(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32)

    def forward(self, x):
        return self.bn1(self.conv1(x))


class BlockA(nn.Module):
    def __init__(self, channels, outputs, stride):
        super().__init__()
        self.doubles = outputs != channels
        self.move11, self.binary_activation1 = Move(channels), Sign()
        self.binary_3x3, self.bn1 = FlatBinaryConv(channels, channels, 3, stride), nn.BatchNorm2d(channels)
        self.pooling = nn.AvgPool2d(2, 2) if stride == 2 else None
        self.add1 = Add()
        self.move12, self.prelu1, self.move13 = Move(channels), nn.PReLU(channels), Move(channels)
        self.move21, self.binary_activation2 = Move(channels), Sign()
        if self.doubles:
            self.binary_pw_down1, self.bn2_1 = FlatBinaryConv(channels, channels, 1), nn.BatchNorm2d(channels)
            self.binary_pw_down2, self.bn2_2 = FlatBinaryConv(channels, channels, 1), nn.BatchNorm2d(channels)
            self.add2_1, self.add2_2, self.cat = Add(), Add(), Concat()
        else:
            self.binary_pw, self.bn2, self.add2 = (
                FlatBinaryConv(channels, channels, 1), nn.BatchNorm2d(channels), Add()
            )  # fmt: skip
        self.move22, self.prelu2, self.move23 = Move(outputs), nn.PReLU(outputs), Move(outputs)

    def forward(self, x):
        y = self.bn1(self.binary_3x3(self.binary_activation1(self.move11(x))))
        y = self.move13(self.prelu1(self.move12(self.add1(y, self.pooling(x) if self.pooling else x))))
        bits = self.binary_activation2(self.move21(y))
        if self.doubles:
            first = self.add2_1(self.bn2_1(self.binary_pw_down1(bits)), y)
            z = self.cat(first, self.add2_2(self.bn2_2(self.binary_pw_down2(bits)), y))
        else:
            z = self.add2(self.bn2(self.binary_pw(bits)), y)
        return self.move23(self.prelu2(self.move22(z)))


class ReActNetA(nn.Module):
    def __init__(self, classes):
        super().__init__()
        blocks = [(32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2)]
        blocks += [(512, 512, 1)] * 5 + [(512, 1024, 2), (1024, 1024, 1)]
        self.feature = nn.Sequential(FirstConv(), *(BlockA(*block) for block in blocks))
        self.pool1, self.fc = GlobalAveragePool(), nn.Linear(1024, classes)

    def forward(self, x):
        return self.fc(self.pool1(self.feature(x)))


class Block18(nn.Module):
    def __init__(self, channels, outputs, stride):
        super().__init__()
        self.move0, self.binary_activation = Move(channels), Sign()
        self.binary_conv, self.bn1 = BinaryConv(channels, outputs, 3, stride), nn.BatchNorm2d(outputs)
        self.add, self.downsample = Add(), None
        self.move1, self.prelu, self.move2 = Move(outputs), nn.PReLU(outputs), Move(outputs)
        if stride != 1:
            conv = nn.Conv2d(channels, outputs, 1, bias=False)
            self.downsample = nn.Sequential(nn.AvgPool2d(2, 2), conv, nn.BatchNorm2d(outputs))

    def forward(self, x):
        residual = x if self.downsample is None else self.downsample(x)
        y = self.add(self.bn1(self.binary_conv(self.binary_activation(self.move0(x)))), residual)
        return self.move2(self.prelu(self.move1(y)))


class ReActNet18(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        for layer, (channels, outputs) in enumerate([(64, 64), (64, 128), (128, 256), (256, 512)], 1):
            first = Block18(channels, outputs, 1 if layer == 1 else 2)
            rest = (Block18(outputs, outputs, 1) for _ in range(3))
            self.add_module(f"layer{layer}", nn.Sequential(first, *rest))
        self.avgpool, self.fc = GlobalAveragePool(), nn.Linear(512, classes)

    def forward(self, x):
        x = self.maxpool(self.bn1(self.conv1(x)))
        return self.fc(self.avgpool(self.layer4(self.layer3(self.layer2(self.layer1(x))))))
