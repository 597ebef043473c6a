"""Losses: how wrong an output is, one number per sample (the mean over samples is an op of its own)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends import accelerable
from ..errors import DataError, ShapeError
from .op import Array, Call, Op, Term, divide, real, rule


def log_sum_exp(y: Array) -> Array:
    """Compute log Σ_k e^y_k along axis 1 without overflow: the largest entry is taken out first."""
    top = real(y).max(axis=1, keepdims=True)
    return top[:, 0] + np.log(np.exp(y - top).sum(axis=1))


@accelerable
def label_losses(y: Array, t: Array) -> Array:
    r"""Compute $\log \sum_k e^{y_{nk}} - y_{n,t_n}$ from logits (N, K) and labels (N,).

    Examples
    --------
    >>> label_losses(np.zeros((1, 2)), np.array([1])).round(4)
    array([0.6931])
    """
    # Outputs have few columns: sums along them are several times faster where each column lies in one piece.
    return log_sum_exp(np.asfortranarray(y)) - y[np.arange(len(y)), t]


def one_hot(t: Array, classes: int, dtype: np.dtype[np.generic]) -> Array:
    """Write integer labels (N,) as rows (N, K) of zeros with a single one; other targets are returned as they are.

    Examples
    --------
    >>> one_hot(np.array([1, 0]), 3, np.dtype(float))
    array([[0., 1., 0.],
           [1., 0., 0.]])
    """
    if t.ndim == 2:
        return t
    rows = np.zeros((len(t), classes), dtype=dtype)
    rows[np.arange(len(t)), t] = 1
    return rows


def _check_targets(c: Call) -> None:
    """Look at the targets: NumPy would take label −1 for the last class, and stretch a single row."""
    n, classes = c.y.shape
    if c.t.shape not in ((n,), (n, classes)):
        raise ShapeError(f"{c.op.name}: t has shape {c.t.shape}, expected {(n,)} labels or {(n, classes)} rows")
    if c.t.ndim == 1 and c.t.dtype.kind not in "iu":
        raise DataError(f"{c.op.name}: t holds {c.t.dtype}, expected integer labels, or rows")
    if c.t.ndim == 1 and n and (c.t.min() < 0 or c.t.max() >= classes):
        raise DataError(f"{c.op.name}: labels go from {c.t.min()} to {c.t.max()}, expected 0 to {classes - 1}")


def _target_rows(c: Call) -> Array:
    """Targets as rows, after a look at them."""
    _check_targets(c)
    return one_hot(c.t, c.y.shape[1], c.y.dtype)


def _difference(c: Call) -> Array:
    """Compute y − t; shapes that NumPy would stretch to fit each other are a mistake here."""
    if c.t.shape != c.y.shape:
        raise ShapeError(f"{c.op.name}: t has shape {c.t.shape}, expected that of y, {c.y.shape}")
    return c.y - c.t


def _pair(k: int, y: Any, t: Any) -> dict[str, Any]:
    """What output and target number k are."""
    return {f"y_{{{k}}}": y, f"t_{{{k}}}": t}


class HalfSquaredError(Op):
    r"""Half the squared distance to the target.

    $\ell_n = \frac{1}{2} \sum_k (y_{nk} - t_{nk})^2$, so $\partial \ell / \partial y = y - t$.

    Source: spec D2 (document 4.3); the document writes y for the target and o for the output.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(HalfSquaredError, np.array([[3.0, 1.0]]), np.array([[1.0, 1.0]]))
    array([2.])
    """

    name = "half_squared_error"
    args = ("y", "t")
    constants = ("t",)
    formula = r"\ell_n = \frac{1}{2} \sum_k (y_{nk} - t_{nk})^2"
    shapes = "y (N, K), t (N, K) -> ℓ (N,)"

    def forward(c: Call) -> Array:
        d = _difference(c)
        return divide((d * d).sum(axis=1), 2)

    @rule(r"\bar{y}_{nk} = g_n\, (y_{nk} - t_{nk})")
    def grad_y(c: Call, g: Array) -> Array:
        return g[:, None] * (c.y - c.t)

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        half = divide(np.ones((), c.y.dtype), 2)
        return [
            Term(rf"\frac{{1}}{{2}} (y_{{{k}}} - t_{{{k}}})^2", (half, y - t, y - t), _pair(k, y, t))
            for k, (y, t) in enumerate(zip(c.y[index[0]], c.t[index[0]], strict=True))
        ]


class MeanSquaredError(Op):
    r"""The mean squared distance to the target.

    $\ell_n = \frac{1}{K} \sum_k (y_{nk} - t_{nk})^2$. For two outputs it equals the half squared error.

    Source: spec D2, E2 (the loss that the document's listing compiles).

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(MeanSquaredError, np.array([[3.0, 1.0]]), np.array([[1.0, 1.0]]))
    array([2.])
    """

    name = "mse"
    args = ("y", "t")
    constants = ("t",)
    formula = r"\ell_n = \frac{1}{K} \sum_k (y_{nk} - t_{nk})^2"
    shapes = "y (N, K), t (N, K) -> ℓ (N,)"

    def forward(c: Call) -> Array:
        d = _difference(c)
        return divide((d * d).sum(axis=1), c.y.shape[1])

    @rule(r"\bar{y}_{nk} = \frac{2}{K}\, g_n\, (y_{nk} - t_{nk})")
    def grad_y(c: Call, g: Array) -> Array:
        return 2 * g[:, None] * (c.y - c.t) / c.y.shape[1]

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        classes = c.y.shape[1]
        share = divide(np.ones((), c.y.dtype), classes)
        return [
            Term(rf"\frac{{1}}{{K}} (y_{{{k}}} - t_{{{k}}})^2", (share, y - t, y - t), {"K": classes} | _pair(k, y, t))
            for k, (y, t) in enumerate(zip(c.y[index[0]], c.t[index[0]], strict=True))
        ]


class CrossEntropy(Op):
    r"""The negative log-probability of the target class, from logits.

    $\ell_n = \log \sum_k e^{y_{nk}} - y_{n,t_n}$; with targets in rows, $-\sum_k t_{nk} \log \mathrm{softmax}(y_n)_k$.

    Source: Bridle 1990, *Probabilistic interpretation of feedforward classification network outputs*.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(CrossEntropy, np.array([[0.0, 0.0]]), np.array([1])).round(4)
    array([0.6931])
    """

    name = "cross_entropy"
    args = ("y", "t")
    constants = ("t",)
    formula = r"\ell_n = \log \sum_k e^{y_{nk}} - y_{n,t_n}"
    shapes = "y (N, K) logits, t (N,) integers or (N, K) rows that sum to 1 -> ℓ (N,)"
    exact = False

    def forward(c: Call) -> Array:
        _check_targets(c)
        if c.t.ndim == 1:
            return label_losses(c.y, c.t)
        t = c.t
        return log_sum_exp(c.y) * t.sum(axis=1) - (c.y * t).sum(axis=1)

    @rule(r"\bar{y}_{nk} = g_n\, (\mathrm{softmax}(y_n)_k - [k = t_n])")
    def grad_y(c: Call, g: Array) -> Array:
        t = _target_rows(c)
        share = np.exp(c.y - log_sum_exp(c.y)[:, None])
        return g[:, None] * (share * t.sum(axis=1, keepdims=True) - t)

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        n = index[0]
        t = _target_rows(c)[n]
        y = {f"y_{{{k}}}": value for k, value in enumerate(c.y[n])}
        powers = " + ".join(f"e^{{{letter}}}" for letter in y)
        start = Term(rf"\log ({powers})", (log_sum_exp(c.y)[n], t.sum()), y)
        meant = np.flatnonzero(t).tolist()
        return [
            start,
            *(Term(f"-t_{{{k}}} y_{{{k}}}", (-1, t[k], c.y[n, k]), _pair(k, c.y[n, k], t[k])) for k in meant),
        ]


class KLDivergence(Op):
    r"""How far the softened answer is from a teacher's, both given as logits.

    $\ell_n = T^2 \sum_k p_{nk} \log (p_{nk} / q_{nk})$ with $p_n = \mathrm{softmax}(u_n / T)$ and
    $q_n = \mathrm{softmax}(y_n / T)$. The factor T² undoes that gradients of softened answers shrink like 1/T².

    Source: Hinton, Vinyals and Dean 2015, *Distilling the knowledge in a neural network*, section 2; Kullback and
    Leibler 1951.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> u = np.array([[2.0, 0.0]])
    >>> apply(KLDivergence, -u, u, temperature=2.0).round(4)
    array([1.8485])
    """

    name = "kl_divergence"
    args = ("y", "u")
    constants = ("u",)
    options = {"temperature": 1.0}
    formula = (
        r"\ell_n = T^2 \sum_k p_{nk} \log (p_{nk} / q_{nk}), \quad "
        r"p_n = \mathrm{softmax}(u_n / T), \quad q_n = \mathrm{softmax}(y_n / T)"
    )
    shapes = "y (N, K) logits, u (N, K) the teacher's -> ℓ (N,)"
    exact = False

    def forward(c: Call) -> Array:
        p, q = _log_shares(c)
        return c.temperature**2 * (np.exp(p) * (p - q)).sum(axis=1)

    @rule(r"\bar{y}_{nk} = g_n\, T\, (q_{nk} - p_{nk})")
    def grad_y(c: Call, g: Array) -> Array:
        p, q = _log_shares(c)
        return g[:, None] * (c.temperature * (np.exp(q) - np.exp(p)))

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        p, q = (shares[index[0]] for shares in _log_shares(c))
        terms = []
        for k in range(len(p)):
            tex = rf"T^2\, p_{{{k}}} \log (p_{{{k}}} / q_{{{k}}})"
            letters = {"T": c.temperature, f"p_{{{k}}}": np.exp(p[k]), f"q_{{{k}}}": np.exp(q[k])}
            terms.append(Term(tex, (c.temperature**2, np.exp(p[k]), p[k] - q[k]), letters))
        return terms


def _log_shares(c: Call) -> tuple[Array, Array]:
    """Compute log p and log q, the softened answers of the teacher and of the network: (N, K) each."""
    if c.u.shape != c.y.shape:
        raise ShapeError(f"{c.op.name}: u has shape {c.u.shape}, expected that of y, {c.y.shape}")
    soft_u, soft_y = c.u / c.temperature, c.y / c.temperature
    return soft_u - log_sum_exp(soft_u)[:, None], soft_y - log_sum_exp(soft_y)[:, None]
