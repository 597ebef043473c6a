"""Which nodes of a network are kept as they are in its file, what stays whole for them, and what lies before them."""

from __future__ import annotations

from .layers.opaque import Opaque
from .neurons import hidden
from .nn import Graph


def kept_nodes(net: Graph) -> dict[str, Opaque]:
    """The layers that are kept as they are, by the name of their value."""
    return {name: node.layer for name, node in net.nodes.items() if isinstance(node.layer, Opaque)}


def whole_for(net: Graph) -> dict[str, list[str]]:
    """The groups of neurons that each kept node reads, so that none of theirs can be removed.

    Examples
    --------
    >>> import minprune as mp
    >>> whole_for(mp.Sequential(mp.Dense(3, 2)))
    {}
    """
    return {
        name: [group.name for group in net.neurons.values() if any(s in group.channels for s in net.nodes[name].inputs)]
        for name in kept_nodes(net)
    }


def without_gradient(net: Graph) -> list[str]:
    """The hidden groups whose gates have no gradient: a kept node lies between them and the output.

    Examples
    --------
    >>> import minprune as mp
    >>> without_gradient(mp.Sequential(mp.Dense(3, 4), mp.ReLU(), mp.Dense(4, 2)))
    []
    """
    before: set[str] = set()
    kept = kept_nodes(net)
    for name, node in reversed(net.nodes.items()):
        if name in kept or name in before:
            before.update((name, *node.inputs))
    readers = {name: [r for read in net.neurons[name].reads for r in read.readers] for name in hidden(net)}
    return [name for name, found in readers.items() if before.intersection(found)]


def told(net: Graph) -> list[str]:
    """Lines for people: what is kept, and what stays whole for it; none where nothing is.

    Examples
    --------
    >>> import minprune as mp
    >>> told(mp.Sequential(mp.Dense(3, 2)))
    []
    """
    lines = []
    for name, groups in whole_for(net).items():
        layer = kept_nodes(net)[name]
        whole = f"all of {', '.join(groups)} stays for it" if groups else "no group of neurons reaches it"
        lines.append(f"{layer.told} is kept as it is ({name}): {whole}")
    return lines
