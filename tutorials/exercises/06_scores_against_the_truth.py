"""Exercises of tutorial 6, scores against the truth.

Fill the functions, then: minprune grade 06_scores_against_the_truth.py
"""

import numpy as np


def taylor(a, s):
    """Given: a (N, n) are activations, s (N, n) the gradients of each sample's own loss by them."""
    raise NotImplementedError("return the score mean_n |a s| of every neuron, from a and s (N, n)")


def second_order(h, s, W):
    """Given: h (J,) are one sample's hidden outputs, s (J,) the slopes of its loss by them, W (K, J) reads them."""
    raise NotImplementedError(
        "return each neuron's exact cost for y = h Wᵀ + b and ½ Σ_k (y_k − t_k)², from h, s = ∂ℓ/∂h and W; one sample"
    )


def lowest(scores, count):
    """Given: scores (n,) may be infinite; count is how many go."""
    raise NotImplementedError(
        "return the ascending indices of the lowest scores, count of them; of equal ones the lower index goes"
    )
