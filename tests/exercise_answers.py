"""Answers to the exercises: right ones, as a learner would write them, and wrong ones with what must be said."""

from __future__ import annotations

from collections.abc import Callable
from math import exp
from typing import Any

import numpy as np


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def weighted_sum(x: Any, w: Any, b: Any) -> Any:
    return sum(wi * xi for wi, xi in zip(w, x, strict=True)) + b


def slope_by_weights(x: Any, w: Any, b: Any) -> Any:
    e = exp(-weighted_sum(x, w, b))
    return [e / (1 + e) ** 2 * xi for xi in x]


def cost_without(x: Any, w: Any, b: Any, t: Any) -> Any:
    a = sigmoid(weighted_sum(x, w, b))
    return 0.5 * (0 - t) ** 2 - 0.5 * (a - t) ** 2


def layer(x: Any, W: Any, b: Any) -> Any:
    return np.array([[sigmoid(weighted_sum(row, W[j], b[j])) for j in range(len(b))] for row in x])


def mean_loss(y: Any, t: Any) -> Any:
    return sum(
        0.5 * sum((yk - tk) ** 2 for yk, tk in zip(*rows, strict=True)) for rows in zip(y, t, strict=True)
    ) / len(y)


def sensitivities(o: Any, t: Any, W: Any) -> Any:
    s = np.zeros((len(o), W.shape[1]))
    for n, j in np.ndindex(s.shape):
        for k in range(o.shape[1]):
            s[n, j] += (o[n, k] - t[n, k]) * o[n, k] * (1 - o[n, k]) * W[k, j]
    return s


def weight_gradient(g: Any, h: Any) -> Any:
    return np.mean([np.outer(gn, hn) for gn, hn in zip(g, h, strict=True)], axis=0)


def central_difference(f: Any, w: Any, step: Any) -> Any:
    slopes = []
    for i in range(len(w)):
        up, down = w.copy(), w.copy()
        up[i] += step
        down[i] -= step
        slopes.append((f(up) - f(down)) / (2 * step))
    return slopes


def numbers_of_one_neuron(inputs: Any, readers: Any) -> Any:
    return inputs + readers + 1


def swapped(W1: Any, b1: Any, W2: Any, i: Any, j: Any) -> Any:
    W1[[i, j]] = W1[[j, i]]
    b1[i], b1[j] = b1[j], b1[i]
    W2[:, [i, j]] = W2[:, [j, i]]
    return W1, b1, W2


def removed(W1: Any, b1: Any, W2: Any, drop: Any) -> Any:
    return np.delete(W1, drop, axis=0), np.delete(b1, drop), np.delete(W2, drop, axis=1)


def masked_output(x: Any, W1: Any, b1: Any, W2: Any, b2: Any, drop: Any) -> Any:
    W1, b1, W2 = removed(W1, b1, W2, drop)
    return sigmoid(x @ W1.T + b1) @ W2.T + b2


def costs(h: Any, W: Any, b: Any, t: Any) -> Any:
    return [
        mean_loss(np.delete(h, j, axis=1) @ np.delete(W, j, axis=1).T + b, t) - mean_loss(h @ W.T + b, t)
        for j in range(h.shape[1])
    ]


def taylor(a: Any, s: Any) -> Any:
    return np.mean(np.abs(a) * np.abs(s), axis=0)


def second_order(h: Any, s: Any, W: Any) -> Any:
    return [-h[j] * s[j] + 0.5 * h[j] ** 2 * W[:, j] @ W[:, j] for j in range(len(h))]


def lowest(scores: Any, count: Any) -> Any:
    return sorted(sorted(range(len(scores)), key=lambda j: (scores[j], j))[:count])


def listing_score(s: Any) -> Any:
    return [float("inf") if column.mean() == 0 else 1 / abs(column.mean()) for column in s.T]


def agreement(outputs: Any, targets: Any) -> Any:
    return sum(np.argmax(o) == np.argmax(t) for o, t in zip(outputs, targets, strict=True)) / len(outputs)


def mean_repair(W: Any, b: Any, a: Any, drop: Any) -> Any:
    for j in drop:
        b = b + W[:, j] * a[:, j].mean()
    return np.delete(W, drop, axis=1), b


def least_squares(a: Any, z: Any) -> Any:
    W = np.linalg.solve((a - a.mean(axis=0)).T @ (a - a.mean(axis=0)), (a - a.mean(axis=0)).T @ (z - z.mean(axis=0))).T
    return W, z.mean(axis=0) - W @ a.mean(axis=0)


def smallest_zeroed(W: Any, fraction: Any) -> Any:
    limit = np.sort(np.abs(W), axis=None)[int(fraction * W.size)]
    return np.where(np.abs(W) < limit, 0, W)


def compressed_rows(W: Any) -> Any:
    values, columns, starts = [], [], [0]
    for row in W:
        columns += [j for j, w in enumerate(row) if w != 0]
        values += [w for w in row if w != 0]
        starts.append(len(values))
    return values, columns, starts


def pareto_front(quality: Any, cost: Any) -> Any:
    def beaten(i: int) -> bool:
        return any(
            quality[j] >= quality[i] and cost[j] <= cost[i] and (quality[j], cost[j]) != (quality[i], cost[i])
            for j in range(len(quality))
        )

    return [i for i in range(len(quality)) if not beaten(i)]


def smallest_good_enough(quality: Any, size: Any, at_least: Any) -> Any:
    return min((i for i in range(len(size)) if quality[i] >= at_least), key=lambda i: size[i])


WRONG: dict[str, tuple[Callable[..., Any], str]] = {
    "weighted_sum": (lambda x, w, b: w @ x, r"b = -0.1: expected 1.1, got 1.2$"),
    "slope_by_weights": (lambda x, w, b: [], r"expected an array of shape \(3,\), got shape \(0,\)"),
    "cost_without": (lambda x, w, b, t: -cost_without(x, w, b, t), "every sign is reversed"),
    "layer": (lambda x, W, b: layer(x, W, b).T, r"shape \(1, 5\), got shape \(5, 1\); it is transposed"),
    "mean_loss": (lambda y, t: mean_loss(y, t) * len(y), r"for y = an array \(4, 3\), t = .*: expected .*, got"),
    "sensitivities": (lambda o, t, W: -sensitivities(o, t, W), r"at \[0, 0\] expected .*; every sign is reversed"),
    "weight_gradient": (lambda g, h: g.T @ h, r"at \[0, 0\] expected .*; all is 4 times as large"),
    "central_difference": (
        lambda f, w, step: [(f(w + e) - f(w)) / step for e in step * np.eye(len(w))],
        r"f = a function \(Σ w³\.\), w = \[1, -2\], step = 0.5: at \[0\] expected 3.25, got 4.75",
    ),
    "numbers_of_one_neuron": (lambda inputs, readers: inputs + 1, "inputs = 3, readers = 2: expected 6, got 4"),
    "swapped": (lambda W1, b1, W2, i, j: (W1, b1, W2), r"result 1 of 3: at \["),
    "removed": (lambda W1, b1, W2, drop: (W1, b1), "expected 3 results, got 2 results"),
    "masked_output": (lambda x, W1, b1, W2, b2, drop: None, r"expected an array of shape \(1, 2\), got None"),
    "costs": (lambda h, W, b, t: 1 / 0, "it raised ZeroDivisionError in line [0-9]+: division by zero"),
    "taylor": (lambda a, s: np.abs((a * s).mean(axis=0)), r"for a = an array \(6, 3\)"),
    "second_order": (lambda h, s, W: -h * s, r"at \[0\] expected"),
    "lowest": (lambda scores, count: np.argsort(scores)[:count], r"at \[0\] expected"),
    "listing_score": (lambda s: 1 / np.abs(s.mean(axis=0) + 1e-9), r"at \[0\] expected inf, got 1e\+09"),
    "agreement": (lambda outputs, targets: "all", "expected a number, got str"),
    "mean_repair": (lambda W, b, a, drop: (np.delete(W, drop, axis=1), b), r"result 2 of 2: at \[0\]"),
    "least_squares": (lambda a, z: (np.zeros((2, 3)), z.mean(axis=0)), r"result 1 of 2: at \[0, 0\]"),
    "smallest_zeroed": (lambda W, fraction: W, r"at \[0, 1\] expected 0, got -0.1"),
    "compressed_rows": (
        lambda W: (*compressed_rows(W)[:2], compressed_rows(W)[2][:-1]),
        r"result 3 of 3: expected an array of shape \(4,\), got shape \(3,\)",
    ),
    "pareto_front": (lambda quality, cost: [0, 1, 2, 3], r"shape \(3,\), got shape \(4,\)"),
    "smallest_good_enough": (lambda quality, size, at_least: int(np.argmin(size)), "expected 0, got 1"),
}
