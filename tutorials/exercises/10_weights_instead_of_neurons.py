"""Exercises of tutorial 10, weights instead of neurons.

Fill the functions, then: minprune grade 10_weights_instead_of_neurons.py
"""

import numpy as np


def smallest_zeroed(W, fraction):
    """Given: W (K, J); fraction is from 0 to 1. W itself stays as it is."""
    raise NotImplementedError(
        "return a copy of W in which the floor(fraction · W.size) entries of smallest modulus are 0"
    )


def compressed_rows(W):
    """Given: W (K, J); return three vectors: values (z,), columns (z,), starts (K + 1,)."""
    raise NotImplementedError(
        "return values, columns and starts of what is not 0, row by row; row r is entries starts[r] to starts[r + 1]"
    )
