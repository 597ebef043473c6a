"""What zeros are worth in a network: a table of bytes, and a program that computes with the kept weights only."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import DtypeError, StructureError
from .formats.masked import bytes_in_file
from .layers import Dense
from .nn import Graph
from .ops import Array
from .reports import table
from .sparse import Block, SparseMatrix, as_matrix, block_nbytes, check_block, smallest_block


def storage(net: Graph) -> str:
    """What every parameter takes, dense and sparse: a table of true bytes, indices and offsets counted.

    `CSR` and `blocks` are the bytes of a `minprune.sparse.SparseMatrix`, `blocks` of the best of several block sizes.
    A parameter without a mask counts as kept where it is not 0; vectors stay dense. A file holds masked parameters in
    a form of its own where that is smaller still: see `minprune.formats.masked`.

    Parameters
    ----------
    net : Graph
        In floats.

    Returns
    -------
    str
        A table.

    Raises
    ------
    DtypeError
        For a network of anything but floats.
    StructureError
        When a masked weight is not 0.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(64, 10), rng=0)
    >>> plan = mp.decide(mp.score(net, criterion="magnitude_l1", by="weight"), mp.Global(0.75))
    >>> print(storage(mp.mask(net, plan)))
    parameter  weights  kept  dense    CSR  blocks   of  in file
    dense1.W       640   160  2,560    811     811  1×1      720
    dense1.b        10     0     40                           40
    total          650   160  2,600                          760
    """
    if net.dtype.kind != "f":
        raise DtypeError(f"storage counts bytes of floats, this network holds {net.dtype}; use astype(np.float32)")
    rows: list[tuple[Any, ...]] = []
    for name, W in net.params.items():
        kept = net.masks.get(name, W != 0)
        sizes: tuple[Any, ...] = (None, None, None)
        if W.ndim > 1:
            best = smallest_block(as_matrix(kept), W.itemsize)
            csr, blocks = (block_nbytes(as_matrix(kept), W.itemsize, block) for block in ((1, 1), best))
            sizes = csr, blocks, f"{best[0]}×{best[1]}"
        in_file = bytes_in_file(name, W, kept) if name in net.masks else W.nbytes
        rows.append((name, W.size, int(kept.sum()), W.nbytes, *sizes, in_file))
    total = [sum(row[place] for row in rows) for place in (1, 2, 3, 7)]
    rows.append(("total", *total[:3], None, None, None, total[3]))
    return table(("parameter", "weights", "kept", "dense", "CSR", "blocks", "of", "in file"), rows)


class SparseProgram:
    """A network that computes with sparse matrices; see `sparsify`.

    Attributes
    ----------
    matrices : dict
        Dense layer -> its `minprune.sparse.SparseMatrix`.
    """

    def __init__(self, net: Graph, matrices: dict[str, SparseMatrix]) -> None:
        self.matrices = matrices
        # In place of a sparse W stands a single 0, seen at every place: the shapes fit, and no dense copy is kept.
        zeros = {f"{name}.W": np.broadcast_to(net.dtype.type(0), m.shape) for name, m in matrices.items()}
        self._net = Graph.assemble(net.nodes, net.inputs, net.output, net.copy().arrays | zeros, net.input_shapes)

    def __call__(self, *xs: Any) -> Array:
        """Compute the output for a batch, in evaluation mode; inputs as for the network."""
        values: dict[str, Any] = self._net.take(*xs)
        arrays = self._net.arrays
        for name, node in self._net.nodes.items():
            if name in self.matrices:
                values[name] = self.matrices[name].affine(values[node.inputs[0]], arrays.get(f"{name}.b"))
            else:
                values[name] = self._net.compute_node(name, values, arrays)
        return values[self._net.output]

    @property
    def nbytes(self) -> int:
        """All bytes of its arrays, indices and offsets counted."""
        dense = (array.nbytes for name, array in self._net.arrays.items() if name[:-2] not in self.matrices)
        biases = (self._net.arrays[f"{name}.b"].nbytes for name in self.matrices if f"{name}.b" in self._net.arrays)
        return sum(dense) + sum(biases) + sum(matrix.nbytes for matrix in self.matrices.values())

    def __repr__(self) -> str:
        return f"<SparseProgram: {', '.join(f'{name} {m!r}' for name, m in self.matrices.items())}>"


def sparsify(net: Graph, block: Block | None = None) -> SparseProgram:
    r"""Convert a network to one that computes its masked dense layers from the kept weights alone.

    $z = x W^\top + b$ by `minprune.sparse.csr_affine` or `block_affine`, up to the rounding of a sum in another order.

    A dense layer is converted where its weights are masked and take fewer bytes so; convolutions stay dense. The result
    computes outputs and nothing else: it cannot be trained, scored or cut. What it saves is memory. In NumPy CSR is
    *slower* than the network, at nine tenths of the weights gone many times so: BLAS multiplies dense matrices at a
    speed that gathering cannot reach. Blocks such as 16×1 come closer, and in large batches can be faster. What is fast
    is a program: `minprune.compile` runs the same weights through kernels, and takes CSR, blocks, or for convolutions
    lists of what is kept, where they win.

    Parameters
    ----------
    net : Graph
        Is not changed.
    block : (int, int), optional
        Rows and columns of a stored block; by default for every layer the one that takes the fewest bytes.

    Returns
    -------
    SparseProgram
        To be called as the network is.

    Raises
    ------
    StructureError
        When no dense layer is masked enough.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(64, 32), mp.ReLU(), mp.Dense(32, 10), rng=0)
    >>> net = mp.mask(net, mp.decide(mp.score(net, criterion="magnitude_l1", by="weight"), mp.Global(0.9)))
    >>> program = sparsify(net)
    >>> program.matrices["dense1"]
    <SparseMatrix (32, 64), CSR: 161 numbers, 838 bytes>
    >>> x = np.ones((1, 64), dtype=np.float32)
    >>> np.allclose(program(x), net(x), atol=1e-6), program.nbytes
    (True, 1397)
    """
    if block is not None:
        check_block(block)
    matrices = {}
    for name, node in net.nodes.items():
        W, kept = net.params.get(f"{name}.W"), net.masks.get(f"{name}.W")
        if isinstance(node.layer, Dense) and W is not None and kept is not None:
            matrix = SparseMatrix.from_dense(W, kept, block or smallest_block(kept, W.itemsize))
            if matrix.nbytes < W.nbytes:
                matrices[name] = matrix
    if not matrices:
        raise StructureError("no dense layer would get smaller: mask(net, plan) most of the weights of one first")
    return SparseProgram(net, matrices)
