"""The Real-to-Binary network, RealToBinNetBNNFactory of larq_zoo/literature/real_to_bin_nets.py in Larq Zoo 2.4."""

from torch import nn

from twins.parts import (
    Add,
    BinaryConv2d,
    GlobalAveragePool,
    SameAveragePool2d,
    SameConv2d,
    SameMaxPool2d,
    ScaleChannels,
    Sign,
    keras_norm,
)


class Shortcut(nn.Module):
    def __init__(self, channels, outputs):
        super().__init__()
        self.pool, self.conv = SameAveragePool2d(2, 2), SameConv2d(channels, outputs, 1)
        self.bn = keras_norm(outputs, 1e-3)

    def forward(self, x):
        return self.bn(self.conv(self.pool(x)))


class HalfBlock(nn.Module):
    def __init__(self, channels, outputs, stride):
        super().__init__()
        self.bn, self.sign, self.conv = keras_norm(channels, 1e-3), Sign(), BinaryConv2d(channels, outputs, 3, stride)
        self.squeeze, self.reduce, self.relu = GlobalAveragePool(), nn.Linear(channels, channels // 8, False), nn.ReLU()
        self.expand, self.sigmoid = nn.Linear(channels // 8, outputs, False), nn.Sigmoid()
        self.scale, self.prelu, self.add = ScaleChannels(), nn.PReLU(outputs), Add()
        self.shortcut = Shortcut(channels, outputs) if channels != outputs else None

    def forward(self, x):
        normal = self.bn(x)
        scales = self.sigmoid(self.expand(self.relu(self.reduce(self.squeeze(normal)))))
        y = self.prelu(self.scale(self.conv(self.sign(normal)), scales))
        return self.add(y, x if self.shortcut is None else self.shortcut(x))


class RealToBinary(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv1, self.bn1, self.prelu1 = SameConv2d(3, 64, 7, 2), keras_norm(64, 1e-3), nn.PReLU(64)
        self.pool1 = SameMaxPool2d(3, 2)
        self.layer1 = nn.Sequential(*(HalfBlock(64, 64, 1) for _ in range(4)))
        self.layer2 = nn.Sequential(HalfBlock(64, 128, 2), *(HalfBlock(128, 128, 1) for _ in range(3)))
        self.layer3 = nn.Sequential(HalfBlock(128, 256, 2), *(HalfBlock(256, 256, 1) for _ in range(3)))
        self.layer4 = nn.Sequential(HalfBlock(256, 512, 2), *(HalfBlock(512, 512, 1) for _ in range(3)))
        self.pool2, self.fc = GlobalAveragePool(), nn.Linear(512, classes)

    def forward(self, x):
        x = self.pool1(self.prelu1(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.pool2(x))


real_to_binary = RealToBinary
