"""MeliusNet-22, from larq_zoo/literature/meliusnet.py of Larq Zoo 2.4."""

from torch import nn

from twins.parts import (
    Add,
    BinaryConv2d,
    Channels,
    Concat,
    GlobalAveragePool,
    SameConv2d,
    SameMaxPool2d,
    Sign,
    keras_norm,
)


class Stem(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1, self.relu1 = SameConv2d(3, 32, 3, 2), keras_norm(32), nn.ReLU()
        self.conv2, self.bn2, self.relu2 = SameConv2d(32, 32, 3, groups=4), keras_norm(32), nn.ReLU()
        self.conv3, self.bn3, self.relu3 = SameConv2d(32, 64, 3, groups=8), keras_norm(64), nn.ReLU()
        self.pool = SameMaxPool2d(2, 2)

    def forward(self, x):
        x = self.relu1(self.bn1(self.conv1(x)))
        x = self.relu2(self.bn2(self.conv2(x)))
        return self.pool(self.relu3(self.bn3(self.conv3(x))))


class Dense(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.bn, self.sign, self.conv, self.concat = (
            keras_norm(channels),
            Sign(),
            BinaryConv2d(channels, 64, 3),
            Concat(),
        )

    def forward(self, x):
        return self.concat(x, self.conv(self.sign(self.bn(x))))


class Improve(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.bn, self.sign, self.conv = keras_norm(channels), Sign(), BinaryConv2d(channels, 64, 3)
        self.old, self.new, self.add, self.concat = Channels(None, -64), Channels(-64, None), Add(), Concat()

    def forward(self, x):
        y = self.conv(self.sign(self.bn(x)))
        return self.concat(self.old(x), self.add(self.new(x), y))


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.dense, self.improve = Dense(channels), Improve(channels + 64)

    def forward(self, x):
        return self.improve(self.dense(x))


class Transition(nn.Module):
    def __init__(self, channels, outputs):
        super().__init__()
        self.bn, self.pool, self.relu = keras_norm(channels), SameMaxPool2d(2, 2), nn.ReLU()
        self.conv = SameConv2d(channels, outputs, 1)

    def forward(self, x):
        return self.conv(self.relu(self.pool(self.bn(x))))


class MeliusNet22(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.stem, self.sections, self.transitions, channels = Stem(), nn.ModuleList(), nn.ModuleList(), 64
        for count, outputs in ((4, 160), (5, 224), (4, 256), (4, None)):
            self.sections.append(nn.Sequential(*(Block(channels + 64 * k) for k in range(count))))
            channels += 64 * count
            if outputs:
                self.transitions.append(Transition(channels, outputs))
                channels = outputs
        self.bn, self.relu, self.pool = keras_norm(channels), nn.ReLU(), GlobalAveragePool()
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        x = self.stem(x)
        for number, section in enumerate(self.sections):
            x = section(x)
            if number < 3:
                x = self.transitions[number](x)
        return self.fc(self.pool(self.relu(self.bn(x))))


meliusnet22 = MeliusNet22
