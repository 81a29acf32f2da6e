"""BinaryResNetE-18, from larq_zoo/literature/resnet_e.py of Larq Zoo 2.4."""

from torch import nn

from twins.parts import Add, BinaryConv2d, GlobalAveragePool, SameConv2d, SameMaxPool2d, Sign, keras_norm


class Shortcut(nn.Module):
    def __init__(self, channels, outputs):
        super().__init__()
        self.pool, self.conv, self.bn = nn.AvgPool2d(2, 2), SameConv2d(channels, outputs, 1), keras_norm(outputs)

    def forward(self, x):
        return self.bn(self.conv(self.pool(x)))


class Block(nn.Module):
    def __init__(self, channels, outputs, stride):
        super().__init__()
        self.sign, self.conv, self.bn = Sign(), BinaryConv2d(channels, outputs, 3, stride), keras_norm(outputs)
        self.shortcut, self.add = Shortcut(channels, outputs) if channels != outputs else None, Add()

    def forward(self, x):
        return self.add(self.bn(self.conv(self.sign(x))), x if self.shortcut is None else self.shortcut(x))


class BinaryResNetE18(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv1, self.bn1, self.relu1 = SameConv2d(3, 64, 7, 2), keras_norm(64), nn.ReLU()
        self.pool1, self.bn2 = SameMaxPool2d(3, 2), keras_norm(64)
        self.layer1 = nn.Sequential(*(Block(64, 64, 1) for _ in range(4)))
        self.layer2 = nn.Sequential(Block(64, 128, 2), *(Block(128, 128, 1) for _ in range(3)))
        self.layer3 = nn.Sequential(Block(128, 256, 2), *(Block(256, 256, 1) for _ in range(3)))
        self.layer4 = nn.Sequential(Block(256, 512, 2), *(Block(512, 512, 1) for _ in range(3)))
        self.relu2, self.pool2, self.fc = nn.ReLU(), GlobalAveragePool(), nn.Linear(512, classes)

    def forward(self, x):
        x = self.bn2(self.pool1(self.relu1(self.bn1(self.conv1(x)))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.pool2(self.relu2(x)))


binaryresnete18 = BinaryResNetE18
