"""What a dense layer computes when neurons that it reads leave one by one: the two functions that the truth is made of.

Row s of the result belongs to sample `samples[s]`, from which the neuron in column `columns[s]` has been taken away.
"""

from __future__ import annotations

from ..backends import accelerable
from ..neurons import Ids
from ..ops import Array
from ..ops.activations import ReLU
from ..ops.affine import affine
from ..tensor import apply


@accelerable
def sums_without(z: Array, a: Array, W: Array, samples: Ids, columns: Ids) -> Array:
    r"""Take one neuron's part out of a dense layer's sums.

    $z_{\setminus j} = z - a_j\, W_{\cdot j}$

    Parameters
    ----------
    z, a : array (N, K), (N, I)
        The layer's sums, and what it reads.
    W : array (K, I)
        Its weights.
    samples, columns : array of int (S,)
        For every row of the result the sample n, and the column j that is taken out.

    Returns
    -------
    array (S, K)

    Examples
    --------
    >>> import numpy as np
    >>> z, a, W = np.array([[11.0]]), np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])
    >>> sums_without(z, a, W, np.array([0, 0]), np.array([0, 1]))
    array([[8.],
           [3.]])
    """
    taken = a[samples, columns, None] * W.T[columns]  # (S,1)(S,K)
    return z[samples] - taken


@accelerable
def outputs_without(z: Array, a: Array, W: Array, samples: Ids, columns: Ids, V: Array, c: Array | None) -> Array:
    r"""Take one neuron's part out of a dense layer's sums, and hand them on through ReLU and the next dense layer.

    $y_{\setminus j} = \max(z - a_j\, W_{\cdot j}, 0)\, V^\top + c$

    Parameters
    ----------
    z, a, W, samples, columns
        As for `sums_without`.
    V, c : array (M, K), (M,)
        Weights and bias of the next layer; None for no bias.

    Returns
    -------
    array (S, M)

    Examples
    --------
    >>> import numpy as np
    >>> z, a, W = np.array([[11.0]]), np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])
    >>> outputs_without(z, a, W, np.array([0, 0]), np.array([0, 1]), np.array([[10.0]]), np.array([5.0]))
    array([[85.],
           [35.]])
    """
    return affine(apply(ReLU, sums_without(z, a, W, samples, columns)), V, c)
