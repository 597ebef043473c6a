"""Exercises of tutorial 1, one neuron.

Fill the functions, then: minprune grade 01_one_neuron.py
"""

import numpy as np


def weighted_sum(x, w, b):
    """Given: x (I,) are the inputs, w (I,) the weights, b is the bias."""
    raise NotImplementedError("return z = w·x + b of one neuron, a number")


def slope_by_weights(x, w, b):
    """Given: x (I,) are the inputs, w (I,) the weights, b is the bias."""
    raise NotImplementedError("return ∂a/∂w of a = σ(w·x + b), an array like w")


def cost_without(x, w, b, t):
    """As before; t is the target."""
    raise NotImplementedError("return by how much the loss ½(a − t)² changes when 0 is read instead of a = σ(w·x + b)")
