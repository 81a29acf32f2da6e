"""Steps that a binary convolution does to its floats while it writes them: any shape, any chain, whoever else reads.

The numbers are small multiples of powers of two, so that every float is exact and every bit must be equal.
"""

import numpy as np
import pytest
from everywhere import run_everywhere, whole
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnengine import (
    Add,
    BinaryConv2d,
    Clip,
    GlobalAveragePool,
    Graph,
    Multiply,
    PReLU,
    ReLU,
    ScaleBias,
    Sign,
    Subtract,
)


def powers(rng, *shape):
    return rng.choice([-0.5, 0.5, 1.0, 2.0], shape).astype(np.float32)


class Chain:
    """A graph that begins with a convolution, and what it takes in beside the image."""

    def __init__(self, rng, samples, size, convolution, channels):
        self.rng, self.samples, self.graph = rng, samples, Graph()
        self.inputs = [whole(rng, samples, *size, channels)]
        bits = self.graph(Sign(), self.graph.input((*size, channels), name="x"))
        self.value = self.graph(convolution, bits, name="conv")
        self.shape = convolution.output_spec(("bits", (*size, channels)))[1]

    def image(self, *shape):
        """One more input of the network."""
        self.inputs.append(whole(self.rng, self.samples, *shape))
        return self.graph.input(shape, name=f"side{len(self.inputs)}")

    def step(self):
        """One more step."""
        rng, g, y, channels = self.rng, self.graph, self.value, self.shape[-1]
        kind = int(rng.integers(0, 9))
        if kind == 0:
            self.value = g(ScaleBias(powers(rng, channels), whole(rng, channels)), y)
        elif kind == 1:
            shifts = [whole(rng, channels) if rng.random() < 0.5 else None for _ in range(2)]
            self.value = g(PReLU(powers(rng, channels), *shifts), y)
        elif kind == 2:
            self.value = g(
                rng.choice([ReLU(), Clip(-3.0), Clip(whole(rng, channels) - 8, whole(rng, channels) + 8)]), y
            )
        elif kind in (3, 4):
            pair = (y, self.image(*self.shape))
            self.value = g(Add(), *(pair if rng.random() < 0.5 else pair[::-1]))
        elif kind == 5:
            pair = (y, self.image(*self.shape))
            self.value = g(Subtract(), *(pair if rng.random() < 0.5 else pair[::-1]))
        elif kind in (6, 7):  # a gate: one number a channel, another one for each sample
            self.value = g(rng.choice([Multiply(), Add(), Subtract()]), y, self.image(channels))
        else:
            self.value = g(Multiply(), y, self.image(*self.shape[:-1], 1))
        return self.value


def random_chain(rng):
    groups = int(rng.choice([1, 1, 1, 2, 3]))
    channels, outputs = int(rng.integers(1, 100)), int(rng.choice([rng.integers(1, 150), 32, 64, 128, 192]))
    kernel = tuple(int(n) for n in rng.choice([1, 1, 2, 3], 2))
    convolution = BinaryConv2d(
        rng.choice([-1, 1], (outputs * groups, *kernel, channels)),
        padding=tuple(k // 2 for k in kernel),
        strides=tuple(int(n) for n in rng.integers(1, 3, 2)),
        groups=groups,
        scale=powers(rng, outputs * groups),
    )
    size = tuple(int(n) for n in rng.integers(2, 12, 2))
    return Chain(rng, int(rng.integers(1, 4)), size, convolution, channels * groups)


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6), st.booleans())
def test_any_chain_behind_a_binary_convolution(seed, steps, to_bits):
    rng = np.random.default_rng(seed)
    chain = random_chain(rng)
    made = [chain.value, *(chain.step() for _ in range(steps))]
    g, last = chain.graph, made[-1]
    if to_bits:
        last = g(BinaryConv2d(rng.choice([-1, 1], (3, 1, 1, chain.shape[-1]))), g(Sign(), last))
    others = [made[int(rng.integers(0, len(made) - 1))]] if rng.random() < 0.3 else []
    run_everywhere(g.model(last, *others), *chain.inputs)


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_gate_is_each_samples_own(kernel):
    """The squeezed image gates the convolution's output, as in Real-to-Binary Net, sample by sample."""
    rng = np.random.default_rng(kernel)
    convolution = BinaryConv2d(rng.choice([-1, 1], (64, kernel, kernel, 64)), padding=kernel // 2)
    chain = Chain(rng, 3, (4, 8), convolution, 64)
    g, x = chain.graph, chain.image(4, 8, 64)
    y = g(PReLU(powers(rng, 64)), g(Multiply(), chain.value, g(GlobalAveragePool(), x)))
    run_everywhere(g.model(g(Add(), y, x)), *chain.inputs)
