"""What gradient criteria add up over samples, in one pass: see `minprune.scores.effects`.

    for samples n:  for neurons j:
        effect = a[n, j] · s[n, j]
        |effect|, effect, effect², |s|, s are added to five sums of neuron j

naive      as NumPy does it: a pass over all samples for each product, modulus and sum, most of them into new memory
one pass   a and s are read once, whichever of the five a criterion wants; the compiler makes vectors of the inner loop
in blocks  of samples: within one the sums are of the arrays' own kind of numbers, and beyond of float64, so that many
           samples lose no more digits than few

It is bound by how fast a and s are read.
"""

from __future__ import annotations

import numpy as np
from numba import types

from ..backends import accelerates
from ..ops import Array
from ..scores.effects import effect_sums
from .keeping import compiled, read, written
from .layout import floats

BLOCK = 64  # samples


@compiled(lambda t: types.void(read(t, 2, "C"), read(t, 2, "C"), written(t, 2), written(types.float64, 2)))
def add_effects(a, s, block, sums):
    """Add to the five rows of `sums`; `block` is room for as many numbers."""
    N, neurons = a.shape
    for start in range(0, N, BLOCK):
        block[:] = 0
        sizes, effects, squares, moduli, slopes = block[0], block[1], block[2], block[3], block[4]
        for n in range(start, min(start + BLOCK, N)):
            outputs, gradients = a[n], s[n]
            for j in range(neurons):
                effect = outputs[j] * gradients[j]
                sizes[j] += abs(effect)
                effects[j] += effect
                squares[j] += effect * effect
                moduli[j] += abs(gradients[j])
                slopes[j] += gradients[j]
        for i in range(5):
            for j in range(neurons):
                sums[i, j] += block[i, j]


def takes_effects(a: Array, s: Array) -> bool:
    """float32 or float64, of one shape, 64 samples"""
    return floats(a, s) and a.shape == s.shape and a.ndim == 2 and len(a) >= BLOCK


@accelerates(effect_sums, "numba", takes=takes_effects)
def effect_sums_kernel(a: Array, s: Array) -> Array:
    """Add up all five in one pass."""
    sums = np.zeros((5, a.shape[1]))
    add_effects[a.dtype](*map(np.ascontiguousarray, (a, s)), np.empty((5, a.shape[1]), a.dtype), sums)
    return sums
