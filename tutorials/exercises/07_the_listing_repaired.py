"""Exercises of tutorial 7, the listing, repaired.

Fill the functions, then: minprune grade 07_the_listing_repaired.py
"""

import numpy as np


def listing_score(s):
    """Given: s (N, n) are the gradients of each sample's own loss by the neurons."""
    raise NotImplementedError(
        "return 1/|mean over samples of s| for every neuron, from s (N, n); where the mean is 0 it is infinite"
    )


def agreement(outputs, targets):
    """Given: outputs (N, K); targets (N, K) hold one 1 in every row."""
    raise NotImplementedError("return the fraction of samples whose largest output is where the target is largest")
