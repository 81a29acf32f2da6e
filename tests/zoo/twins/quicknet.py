"""QuickNet, from larq_zoo/sota/quicknet.py of Larq Zoo 2.4."""

from torch import nn

from twins.parts import Add, Blur, GlobalAveragePool, OnePaddedBinaryConv2d, SameConv2d, Sign, keras_norm


class Stem(nn.Module):
    def __init__(self, filters):
        super().__init__()
        few = filters // 4
        self.conv1, self.bn1, self.relu = SameConv2d(3, few, 3, 2), keras_norm(few, 1e-3), nn.ReLU()
        self.depthwise, self.bn2 = SameConv2d(few, few, 3, 2, groups=few), keras_norm(few, 1e-3, affine=False)
        self.conv2, self.bn3 = SameConv2d(few, filters, 1), keras_norm(filters, 1e-3)

    def forward(self, x):
        x = self.bn2(self.depthwise(self.relu(self.bn1(self.conv1(x)))))
        return self.bn3(self.conv2(x))


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.sign, self.conv = Sign(), OnePaddedBinaryConv2d(channels, channels, 3)
        self.relu, self.bn, self.add = nn.ReLU(), keras_norm(channels), Add()

    def forward(self, x):
        return self.add(self.bn(self.relu(self.conv(self.sign(x)))), x)


class Transition(nn.Module):
    def __init__(self, channels, outputs):
        super().__init__()
        self.relu, self.pool, self.blur = nn.ReLU(), nn.MaxPool2d(2, 1), Blur()
        self.conv, self.bn = SameConv2d(channels, outputs, 1), keras_norm(outputs)

    def forward(self, x):
        return self.bn(self.conv(self.blur(self.pool(self.relu(x)))))


class Section(nn.Module):
    def __init__(self, channels, outputs, count):
        super().__init__()
        if outputs != channels:
            self.transition = Transition(channels, outputs)
        self.blocks = nn.ModuleList(Block(outputs) for _ in range(count))

    def forward(self, x):
        if hasattr(self, "transition"):
            x = self.transition(x)
        for block in self.blocks:
            x = block(x)
        return x


class QuickNet(nn.Module):
    def __init__(self, counts, filters, classes):
        super().__init__()
        self.stem = Stem(filters[0])
        before = [filters[0], *filters[:-1]]
        self.sections = nn.ModuleList(map(Section, before, filters, counts))
        self.relu, self.pool, self.fc = nn.ReLU(), GlobalAveragePool(), nn.Linear(filters[-1], classes)

    def forward(self, x):
        x = self.stem(x)
        for section in self.sections:
            x = section(x)
        return self.fc(self.pool(self.relu(x)))


def quicknet_small(classes):
    return QuickNet((4, 4, 4, 4), (32, 64, 256, 512), classes)


def quicknet(classes):
    return QuickNet((4, 4, 4, 4), (64, 128, 256, 512), classes)


def quicknet_large(classes):
    return QuickNet((6, 8, 12, 6), (64, 128, 256, 512), classes)
