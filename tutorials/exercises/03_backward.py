"""Exercises of tutorial 3, backward.

Fill the functions, then: minprune grade 03_backward.py
"""

import numpy as np


def sensitivities(o, t, W):
    """Given: o (N, K) are outputs behind the sigmoid, t (N, K) targets, W (K, J) the output layer's weights."""
    raise NotImplementedError("return ∂ℓ/∂h (N, J) for o = σ(h Wᵀ + b) and ℓ = ½ Σ_k (o_k − t_k)², from o, t and W")


def weight_gradient(g, h):
    """Given: g (N, K) are gradients of each sample's own loss by z, h (N, J) what the layer read."""
    raise NotImplementedError(
        "return ∂L/∂W (K, J) of z = h Wᵀ + b, from g = ∂ℓ/∂z (N, K) and h (N, J); L is the mean over samples"
    )


def central_difference(f, w, step):
    """Given: f takes an array like w (I,) and gives a number; step is ε. Do not change w itself."""
    raise NotImplementedError(
        "return (f(w + step e_i) − f(w − step e_i)) / (2 step) for every entry i of w, an array like w"
    )
