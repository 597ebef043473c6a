"""Scores of neurons on the device: from activations and their gradients to one number a neuron.

    for every sample n and neuron j, a thread:             `effects_loop`, once for every value in which j is read
        effect[n, j] += Σ_cp a[n, c, p] g[n, c, p]         over the channels c of the neuron and all places p
        slope[n, j]  += Σ_cp g[n, c, p]
    for every neuron j, a block:                           `score_sums_loop`
        each thread: walk over every THREADS-th sample and add |effect|, −effect, effect², |slope|, slope
        halve until one is left

separate   a product, a sum over places, a modulus, a mean: each an array as large as the activations
fused      a and g are read once, for all the criteria together

It is bound by memory. A thread walks along the places of one channel, so that neighbouring threads read far apart; but
each takes whole cache lines, one after the other. Sums over samples are in double precision whatever the numbers are,
as in `minprune.scores`: a handful of additions for each sample and neuron.
"""

from __future__ import annotations

from typing import Any

from numba import cuda, float64, int64, void

from .launching import THREADS, inner, kernel
from .memory import Device
from .sums import flat

GATE_SUMS = 5  # |effect|, −effect, effect², |slope|, slope
ENTRY_SUMS = 3  # a, a², [a ≠ 0]


@kernel(lambda T: void(T[:, :, ::1], T[:, :, ::1], int64[::1], int64[::1], T[:, ::1], T[:, ::1]))
def effects_loop(a: Any, g: Any, channels: Any, offsets: Any, effect: Any, slope: Any) -> None:
    """effect[n, j] += Σ_cp a g and slope[n, j] += Σ_cp g, over channels[offsets[j] … offsets[j + 1]]."""
    J, P = effect.shape[1], a.shape[2]
    for e in range(cuda.grid(1), effect.shape[0] * J, cuda.gridsize(1)):
        n, j = e // J, e % J
        whole, shift = effect[n, j], slope[n, j]
        for k in range(offsets[j], offsets[j + 1]):
            for p in range(P):
                whole += a[n, channels[k], p] * g[n, channels[k], p]
                shift += g[n, channels[k], p]
        effect[n, j], slope[n, j] = whole, shift


@inner
def add_up(parts: Any, rows: int, t: int) -> None:
    """Add up what all threads of a block have found, a row for each sum: the second half to the first, and again."""
    cuda.syncthreads()
    half = THREADS // 2
    while half > 0:
        if t < half:
            for row in range(rows):
                parts[row, t] += parts[row, t + half]
        cuda.syncthreads()
        half //= 2


@kernel(lambda T: void(T[:, ::1], T[:, ::1], float64[:, ::1]))
def score_sums_loop(effect: Any, slope: Any, sums: Any) -> None:
    """sums[:, j] += Σ_n of |effect|, −effect, effect², |slope|, slope."""
    parts = cuda.shared.array((GATE_SUMS, THREADS), float64)
    j, t = cuda.blockIdx.x, cuda.threadIdx.x
    for row in range(GATE_SUMS):
        parts[row, t] = 0
    for n in range(t, effect.shape[0], THREADS):
        whole, shift = float64(effect[n, j]), float64(slope[n, j])
        parts[0, t] += abs(whole)
        parts[1, t] -= whole
        parts[2, t] += whole * whole
        parts[3, t] += abs(shift)
        parts[4, t] += shift
    add_up(parts, GATE_SUMS, t)
    if t < GATE_SUMS:
        sums[t, j] += parts[t, 0]


@kernel(lambda T: void(T[:, :, ::1], int64[::1], int64[::1], float64[:, ::1]))
def entry_sums_loop(a: Any, channels: Any, offsets: Any, sums: Any) -> None:
    """sums[:, j] += Σ_ncp of a, a² and [a ≠ 0], over the channels of neuron j."""
    parts = cuda.shared.array((ENTRY_SUMS, THREADS), float64)
    j, t = cuda.blockIdx.x, cuda.threadIdx.x
    N, P = a.shape[0], a.shape[2]
    for row in range(ENTRY_SUMS):
        parts[row, t] = 0
    for k in range(offsets[j], offsets[j + 1]):
        for e in range(t, N * P, THREADS):
            value = float64(a[e // P, channels[k], e % P])
            parts[0, t] += value
            parts[1, t] += value * value
            parts[2, t] += 1 if value != 0 else 0
    add_up(parts, ENTRY_SUMS, t)
    if t < ENTRY_SUMS:
        sums[t, j] += parts[t, 0]


def add_effects(a: Device, g: Device, channels: Device, offsets: Device, effect: Device, slope: Device) -> None:
    """Add what one value says of the effect and the slope of every neuron: a, g (N, C, …) to (N, n)."""
    effects_loop.over(effect.size, flat(a), flat(g), channels, offsets, effect, slope)


def add_score_sums(effect: Device, slope: Device, sums: Device) -> None:
    """Add the samples' contributions (N, n) to the sums (5, n)."""
    score_sums_loop.rows(effect.shape[1], effect, slope, sums)


def add_entry_sums(a: Device, channels: Device, offsets: Device, sums: Device) -> None:
    """Add what one value (N, C, …) says of the entries of every neuron to the sums (3, n)."""
    entry_sums_loop.rows(sums.shape[1], flat(a), channels, offsets, sums)
