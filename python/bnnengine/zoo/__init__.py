"""Published binarized networks, with given or random weights: each function builds a Model."""

from bnnengine.zoo.binarynet import binaryconnect, binarynet, cnv
from bnnengine.zoo.birealnet import birealnet18, birealnet34
from bnnengine.zoo.bnext import bnext_t
from bnnengine.zoo.densenet import binarydensenet28, binarydensenet37, binarydensenet45
from bnnengine.zoo.dorefa import dorefanet
from bnnengine.zoo.meliusnet import meliusnet22
from bnnengine.zoo.quicknet import quicknet, quicknet_large, quicknet_small
from bnnengine.zoo.reactnet import reactnet18, reactnet_a
from bnnengine.zoo.real_to_binary import real_to_binary
from bnnengine.zoo.resnet_e import binaryresnete18
from bnnengine.zoo.xnornet import xnornet

__all__ = [
    "binaryconnect",
    "binarydensenet28",
    "binarydensenet37",
    "binarydensenet45",
    "binarynet",
    "binaryresnete18",
    "birealnet18",
    "birealnet34",
    "bnext_t",
    "cnv",
    "dorefanet",
    "meliusnet22",
    "quicknet",
    "quicknet_large",
    "quicknet_small",
    "reactnet18",
    "reactnet_a",
    "real_to_binary",
    "xnornet",
]
