"""BinaryDenseNet, from larq_zoo/literature/densenet.py of Larq Zoo 2.4."""

from torch import nn

from twins.parts import BinaryConv2d, Concat, GlobalAveragePool, SameConv2d, SameMaxPool2d, Sign, keras_norm


class Layer(nn.Module):
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


class Transition(nn.Module):
    def __init__(self, channels, outputs):
        super().__init__()
        self.bn, self.pool, self.relu = keras_norm(channels), nn.MaxPool2d(2), nn.ReLU()
        self.conv = SameConv2d(channels, outputs, 1)

    def forward(self, x):
        return self.conv(self.relu(self.pool(self.bn(x))))


class BinaryDenseNet(nn.Module):
    def __init__(self, counts, outputs, classes):
        super().__init__()
        self.conv1, self.bn1, self.relu1 = SameConv2d(3, 64, 7, 2), keras_norm(64), nn.ReLU()
        self.pool1 = SameMaxPool2d(3, 2)
        self.blocks, self.transitions, channels = nn.ModuleList(), nn.ModuleList(), 64
        for block, count in enumerate(counts):
            self.blocks.append(nn.Sequential(*(Layer(channels + 64 * k) for k in range(count))))
            channels += 64 * count
            if block < 3:
                self.transitions.append(Transition(channels, outputs[block]))
                channels = outputs[block]
        self.bn2, self.relu2, self.pool2 = keras_norm(channels), nn.ReLU(), GlobalAveragePool()
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        x = self.pool1(self.relu1(self.bn1(self.conv1(x))))
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number < 3:
                x = self.transitions[number](x)
        return self.fc(self.pool2(self.relu2(self.bn2(x))))


# the channels behind transitions: of 28 as Keras' file of that network has them, the others worked out by hand
def binarydensenet28(classes):
    return BinaryDenseNet((6, 6, 6, 5), (160, 192, 256), classes)


def binarydensenet37(classes):
    return BinaryDenseNet((6, 8, 12, 6), (128, 192, 256), classes)


def binarydensenet45(classes):
    return BinaryDenseNet((6, 12, 14, 8), (160, 288, 288), classes)
