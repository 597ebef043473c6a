"""Batch-norm in training, on tiles of images: its statistics, its values, and the way back.

    for tiles, channels c:  sums[c] += Σ x           then the mean; and once more Σ (x − mean)², then the variance
    for tiles, channels c:  Z[c] = γ[c]/σ[c] · (X[c] − mean[c]) + β[c]
    for tiles, channels c:  ḡ[c] += Σ g, ĝ[c] += Σ g x̂
    for tiles, channels c:  X̄[c] = γ[c]/σ[c] · (G[c] − mean(g)[c] − x̂ mean(g x̂)[c])

naive      as NumPy does it: a new array for every operation on all images, and the statistics worked out again for each
           of three gradients
four passes   each reads every number once; a line between two passes stands for "all tiles must have come so far",
           since every sample depends on all others. The ReLU behind is part of the second pass
valid      of the samples of a last tile that are not there nothing is counted, and their gradient is set to 0

Bound by how fast the images are read and written: they lie in the L2 or the L3 cache between two passes.
"""

from __future__ import annotations

from numba import types

from .keeping import compiled, read, written

SUMS = types.Array(types.float64, 1, "C")


@compiled(lambda t: types.void(read(t, 3, "C"), types.intp, read(t, 1, "C"), types.boolean, SUMS))
def add_moments(X, valid, center, squared, sums):
    """Add Σ (x − center) or Σ (x − center)² over places and valid samples to the sum of every channel."""
    channels, places, T = X.shape
    for c in range(channels):
        image, mean, total = X[c].reshape(-1), center[c], X.dtype.type(0)
        if valid == T:
            if squared:
                for i in range(places * T):
                    total += (image[i] - mean) * (image[i] - mean)
            else:
                for i in range(places * T):
                    total += image[i] - mean
        else:
            for p in range(places):
                for i in range(p * T, p * T + valid):
                    total += (image[i] - mean) * (image[i] - mean) if squared else image[i] - mean
        sums[c] += total


@compiled(lambda t: types.void(read(t, 3, "C"), *(read(t, 1, "C"),) * 3, types.boolean, written(t, 3)))
def normalise(X, mean, scale, beta, relu, Z):
    """Z = scale · (X − mean) + β, or what of it is above 0."""
    for c in range(X.shape[0]):
        image, out, m, s, b = X[c].reshape(-1), Z[c].reshape(-1), mean[c], scale[c], beta[c]
        for i in range(len(image)):
            z = (image[i] - m) * s + b
            out[i] = 0 if relu and z <= 0 else z  # NaN is handed on


@compiled(lambda t: types.void(read(t, 3, "C"), read(t, 3, "C"), read(t, 1, "C"), read(t, 1, "C"), SUMS, SUMS))
def add_slopes(G, X, mean, inverse, slopes, products):
    """Add Σ g and Σ g x̂ of every channel; samples that are not there have g = 0."""
    for c in range(G.shape[0]):
        g, image, m, inv = G[c].reshape(-1), X[c].reshape(-1), mean[c], inverse[c]
        slope, product = G.dtype.type(0), G.dtype.type(0)
        for i in range(len(g)):
            slope += g[i]
            product += g[i] * ((image[i] - m) * inv)
        slopes[c] += slope
        products[c] += product


@compiled(lambda t: types.void(read(t, 3, "C"), read(t, 3, "C"), *(read(t, 1, "C"),) * 5, types.intp, written(t, 3)))
def normalise_back(G, X, mean, inverse, scale, mean_g, mean_gx, valid, bar):
    """Set bar to scale · (G − mean g − x̂ mean g x̂) for valid samples, and to 0 for others."""
    channels, places, T = G.shape
    for c in range(channels):
        g, image, out = G[c].reshape(-1), X[c].reshape(-1), bar[c].reshape(-1)
        m, inv, s, a, b = mean[c], inverse[c], scale[c], mean_g[c], mean_gx[c]
        for i in range(len(g)):
            out[i] = s * (g[i] - a - (image[i] - m) * inv * b)
        if valid < T:
            for p in range(places):
                for i in range(p * T + valid, (p + 1) * T):
                    out[i] = 0
