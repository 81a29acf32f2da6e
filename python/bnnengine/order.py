"""The order in which steps run, where the graph leaves it open."""

from __future__ import annotations

from bnnengine.layers.output import Sum
from bnnengine.model import Model, Node


def late_sums(model: Model) -> Model:
    """Each sum right before the first layer that reads it, all others where they stand.

    What follows a convolution then works on its output while that is in cache, even where it waits for something else:
    a scale that is made out of the image's means (squeeze and excitation, arXiv:1709.01507; Real-to-Binary Net,
    arXiv:2003.11535) comes before the convolution that it scales.
    """
    waiting: dict[str, Node] = {}
    nodes: list[Node] = []

    def take(node: Node) -> None:
        for value in [value for value in waiting if value in node.inputs]:  # in their own order
            take(waiting.pop(value))
        nodes.append(node)

    for node in model.nodes:
        if isinstance(node.layer, Sum):
            waiting[node.outputs[0]] = node
        else:
            take(node)
    while waiting:
        take(waiting.pop(next(iter(waiting))))
    return Model(model.inputs, tuple(nodes), model.outputs, model.metadata)
