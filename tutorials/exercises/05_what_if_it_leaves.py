"""Exercises of tutorial 5, what if it leaves.

Fill the functions, then: minprune grade 05_what_if_it_leaves.py
"""

import numpy as np


def removed(W1, b1, W2, drop):
    """W1 (J, I), b1 (J,) make the hidden neurons, W2 (K, J) reads them; drop is a list of indices from 0."""
    raise NotImplementedError("return W1, b1, W2 without the hidden neurons in the list drop")


def masked_output(x, W1, b1, W2, b2, drop):
    """Given: x (N, I); W1 (J, I), b1 (J,); W2 (K, J), b2 (K,); drop is a list of indices from 0."""
    raise NotImplementedError(
        "return h W2ᵀ + b2 for h = σ(x W1ᵀ + b1) in which the neurons of the list drop are set to 0"
    )


def costs(h, W, b, t):
    """Given: h (N, J) are the hidden outputs, W (K, J), b (K,) the output layer, t (N, K) the targets."""
    raise NotImplementedError(
        "return L(without j) − L for every neuron j; y = h Wᵀ + b, L the mean over samples of ½ Σ_k (y_k − t_k)²"
    )
