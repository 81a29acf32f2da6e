"""Parameters and multiply-accumulates of a network, counted layer by layer from shapes."""

from dataclasses import dataclass

import numpy as np

from bnnengine import BatchNorm, Binarize, BlurPool2d, Clip, Conv2d, Dense, Model, RPReLU, RSign
from bnnengine.layers.output import Sum


@dataclass
class Counts:
    """Weights that are bits, other learned numbers without batch norms, channels of batch norms, and MACs."""

    binary: int = 0
    real: int = 0
    norm_channels: int = 0
    blur: int = 0
    binary_macs: int = 0
    real_macs: int = 0

    def parameters(self, per_norm_channel: int) -> int:
        """In all: 2 for each channel of a batch norm without its statistics, 4 with them."""
        return self.binary + self.real + per_norm_channel * self.norm_channels

    @property
    def mebibytes(self) -> float:
        """Of bits and 32-bit numbers, 2 for each channel of a batch norm, as Larq's summary has it."""
        return (self.binary / 8 + 4 * (self.real + self.blur + 2 * self.norm_channels)) / 2**20


def count(model: Model) -> Counts:
    """Of one sample."""
    found = Counts()
    for node in model.nodes:
        layer, shape = node.layer, model.values[node.outputs[0]].shape
        if isinstance(layer, Sum):
            macs = int(np.prod(shape)) * layer.depth
            weights = int(np.prod(layer.weight.shape))
            if isinstance(layer, (Conv2d, Dense)):
                found.real += weights + (0 if layer.bias is None else layer.outputs)
                found.real_macs += macs
            else:
                found.binary += weights
                found.real += 0 if layer.bias is None else layer.outputs
                if model.values[node.inputs[0]].dtype == "bits":
                    found.binary_macs += macs
                else:
                    found.real_macs += macs
        elif isinstance(layer, BlurPool2d):
            found.blur += layer.taps.size**2 * shape[-1]
            found.real_macs += layer.taps.size**2 * int(np.prod(shape))
        elif isinstance(layer, BatchNorm):
            found.norm_channels += layer.gamma.size
        elif isinstance(layer, (RSign, RPReLU)):
            found.real += shape[-1] * (1 if isinstance(layer, RSign) else 3)
        elif not isinstance(layer, (Binarize, Clip)):  # whose limits are not learned
            found.real += layer.for_channels(shape[-1]).parameters
    return found
