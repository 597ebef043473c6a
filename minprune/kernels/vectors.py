"""The micro-kernel: what plain Python cannot say, written in the instructions that the CPU has.

Two functions, each of them twice: as loops, which say what is computed, and as LLVM instructions, which Numba puts in
their place where the CPU has vectors. The loops are what runs without vectors, and with NUMBA_DISABLE_JIT=1.

`tile`: a piece of rows × columns of C = bias + A B, with a piece of B packed into a panel,

    for i < rows:  for j < columns:  C[i, j] = start + Σ_k A[i, k] · panel[k, j]

naive     as it stands: every step loads two numbers and does one multiply-add; the loads are what takes the time
blocked   a whole tile of C at once: with 8 rows and 3 vectors of 16 numbers a step loads 3 vectors and 8 numbers, and
          does 24 multiply-adds of 16 numbers each
in registers   C's tile stays in registers for the whole walk along k: nothing is stored but at the end
fused     bias and activation act on the registers before they are stored: no second pass over C

It is bound by the multiply-adds, of which a core starts one or two a cycle; 24 independent sums hide that each takes
four cycles. At the edges a tile reads its last row again instead of rows that do not exist, and a mask keeps what it
stores within C: no second version for odd sizes.

`turn`: one square block of B, transposed on its way into the panel,

    for k < lanes:  for j < lanes:  panel[k, j] = B[k, j]        where B is contiguous along k

naive     as it stands: one store for every number
shuffled  load `lanes` vectors along k, and interleave the first half of them with the second, log2(lanes) times: like
          a pack of cards, after that many perfect shuffles rows have become columns

`copy` is the same where B is contiguous along j, and needs no shuffle.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from .cpu import choose_tile, target

TILE = choose_tile(target().widths)
ROWS, VECTORS, BYTES = TILE.rows, TILE.vectors, TILE.bytes  # Numba freezes them into what it compiles
BYTE, INDEX = ir.IntType(8), ir.IntType(64)
Value = Any  # llvmlite has no types


# As loops -------------------------------------------------------------------------------------------------------------


def tile_loops(vectors, A, i0, k0, depth, panel, bias, C, j0, rows, columns, first, relu):
    """Add ``A[i0:i0+rows, k0:k0+depth] @ panel`` to C's tile at (i0, j0), or to the bias where it is the first part."""
    width = vectors * (BYTES // A.itemsize)
    for i in range(i0, i0 + rows):
        if first:
            for j in range(j0, j0 + columns):
                C[i, j] = bias[j] if len(bias) else 0
        for k in range(depth):
            a = A[i, k0 + k]
            for j in range(columns):
                C[i, j0 + j] += a * panel[k * width + j]
        if relu:
            for j in range(j0, j0 + columns):
                if C[i, j] <= 0:  # NaN is handed on
                    C[i, j] = 0


def turn_loops(B, k0, j0, panel, at, width):
    """Put the block of B at (k0, j0), as many rows and columns as a vector has lanes, into the panel."""
    for k in range(BYTES // B.itemsize):
        for j in range(BYTES // B.itemsize):
            panel[at + k * width + j] = B[k0 + k, j0 + j]


def copy_loops(B, k, j0, panel, at):
    """Put one vector of B's row k, from column j0 on, into the panel."""
    for j in range(BYTES // B.itemsize):
        panel[at + j] = B[k, j0 + j]


# As instructions ------------------------------------------------------------------------------------------------------


class Emitter:
    """Writes instructions for vectors of one kind of numbers; addresses are counted in bytes."""

    def __init__(self, context: Any, builder: Any, number: Any) -> None:
        self.context, self.builder = context, builder
        self.number = context.get_data_type(number)
        self.size = number.bitwidth // 8
        self.lanes = BYTES // self.size
        self.vector = ir.VectorType(self.number, self.lanes)
        self.code = f"v{self.lanes}f{number.bitwidth}"  # as LLVM writes the vector's type
        self.zero = ir.Constant(self.vector, [0.0] * self.lanes)

    def index(self, value: int) -> Value:
        """A number known now."""
        return ir.Constant(INDEX, value)

    def array(self, kind: Any, value: Value) -> tuple[Value, list[Value]]:
        """Where an array starts, and its strides."""
        array = self.context.make_array(kind)(self.context, self.builder, value)
        start = self.builder.bitcast(array.data, BYTE.as_pointer())
        return start, cgutils.unpack_tuple(self.builder, array.strides, kind.ndim)

    def at(self, start: Value, *parts: tuple[Value, Value]) -> Value:
        """An address: the start plus all count · stride."""
        for count, stride in parts:
            offset = self.builder.mul(count, stride)
            start = self.builder.gep(start, [offset], source_etype=BYTE)
        return start

    def load(self, address: Value, kind: Any = None) -> Value:
        """A vector, or a single number; at any alignment."""
        kind = self.vector if kind is None else kind
        return self.builder.load(self.builder.bitcast(address, kind.as_pointer()), align=1, typ=kind)

    def store(self, value: Value, address: Value) -> None:
        """A vector, at any alignment."""
        self.builder.store(value, self.builder.bitcast(address, self.vector.as_pointer()), align=1)

    def spread(self, value: Value) -> Value:
        """A number in all lanes of a vector."""
        nothing = ir.Constant(ir.VectorType(value.type, self.lanes), ir.Undefined)
        single = self.builder.insert_element(nothing, value, ir.Constant(ir.IntType(32), 0))
        return self.shuffle(single, nothing, [0] * self.lanes)

    def shuffle(self, first: Value, second: Value, lanes: list[int]) -> Value:
        """A vector of chosen lanes; those of the second are counted on from the first's."""
        chosen = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
        return self.builder.shuffle_vector(first, second, chosen)

    def call(self, name: str, result: Any, *args: Value) -> Value:
        """One of LLVM's own functions."""
        kind = ir.FunctionType(result, [arg.type for arg in args])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), args)

    def multiply_add(self, a: Value, b: Value, c: Value) -> Value:
        """Compute a · b + c, rounded once."""
        return self.call(f"llvm.fma.{self.code}", self.vector, a, b, c)

    def mask(self, count: Value) -> Value:
        """The lanes below count."""
        numbers = ir.Constant(ir.VectorType(INDEX, self.lanes), list(range(self.lanes)))
        return self.builder.icmp_signed("<", numbers, self.spread(count))

    def load_masked(self, address: Value, mask: Value) -> Value:
        """A vector of which only some lanes are read; the others are 0."""
        pointer, align = self.builder.bitcast(address, self.vector.as_pointer()), ir.Constant(ir.IntType(32), 1)
        return self.call(f"llvm.masked.load.{self.code}.p0", self.vector, pointer, align, mask, self.zero)

    def store_masked(self, value: Value, address: Value, mask: Value) -> None:
        """A vector of which only some lanes are written."""
        pointer, align = self.builder.bitcast(address, self.vector.as_pointer()), ir.Constant(ir.IntType(32), 1)
        self.call(f"llvm.masked.store.{self.code}.p0", ir.VoidType(), value, pointer, align, mask)


class Sums:
    """The tile in registers: height × vectors of them, which start as bias or as what C holds, and end in C."""

    def __init__(
        self, e: Emitter, vectors: int, start: Value, stride: Value, rows: Value, columns: Value, height: int = ROWS
    ) -> None:
        self.e, self.vectors, self.rows, self.columns, self.height = e, vectors, rows, columns, height
        self.start, self.stride = start, stride  # of C's tile
        # Variables at first; LLVM's passes make registers of them.
        self.sums = [[cgutils.alloca_once(e.builder, e.vector) for _ in range(vectors)] for _ in range(height)]

    def get(self, i: int, j: int) -> Value:
        """Vector j of row i, as it is now."""
        return self.e.builder.load(self.sums[i][j], typ=self.e.vector)

    def set(self, i: int, j: int, value: Value) -> None:
        """Replace vector j of row i."""
        self.e.builder.store(value, self.sums[i][j])

    def place(self, j: int) -> tuple[Value, Value]:
        """How far behind the start of a row its vector j lies."""
        return self.e.index(j), self.e.index(self.e.lanes * self.e.size)

    def mask(self, j: int) -> Value:
        """Which lanes of vector j lie within C."""
        return self.e.mask(self.e.builder.sub(self.columns, self.e.index(j * self.e.lanes)))

    def row_start(self, i: int) -> Value:
        """Where row i of the tile begins."""
        return self.e.at(self.start, (self.e.index(i), self.stride))

    @contextmanager
    def row(self, i: int) -> Any:
        """What is emitted within runs if C has row i of the tile; yields where the row starts."""
        with self.e.builder.if_then(self.e.builder.icmp_signed("<", self.e.index(i), self.rows)):
            yield self.row_start(i)

    def begin(self, first: Value, bias: Value, has_bias: Value) -> None:
        """Start at the bias, or at 0; further parts of a long sum start at what C holds."""
        for j in range(self.vectors):
            for i in range(self.height):
                self.set(i, j, self.e.zero)
        with self.e.builder.if_else(first) as (then, otherwise):
            with then, self.e.builder.if_then(has_bias):
                for j in range(self.vectors):
                    value = self.e.load_masked(self.e.at(bias, self.place(j)), self.mask(j))
                    for i in range(self.height):
                        self.set(i, j, value)
            with otherwise:
                for i in range(self.height):
                    with self.row(i) as start:
                        for j in range(self.vectors):
                            self.set(i, j, self.e.load_masked(self.e.at(start, self.place(j)), self.mask(j)))

    def clip(self, relu: Value) -> None:
        """Replace what is not above 0, if it is wanted; NaN is handed on."""
        e = self.e
        with e.builder.if_then(relu):
            for i in range(self.height):
                for j in range(self.vectors):
                    negative = e.builder.fcmp_ordered("<=", self.get(i, j), e.zero)
                    self.set(i, j, e.builder.select(negative, e.zero, self.get(i, j)))

    def end(self) -> None:
        """Store the tile; at C's right edge through a mask, which on some CPUs takes longer."""
        e = self.e
        whole = e.builder.icmp_signed(">=", self.columns, e.index(self.vectors * e.lanes))
        for i in range(self.height):
            with self.row(i) as start, e.builder.if_else(whole) as (then, otherwise):
                with then:
                    for j in range(self.vectors):
                        e.store(self.get(i, j), e.at(start, self.place(j)))
                with otherwise:
                    for j in range(self.vectors):
                        e.store_masked(self.get(i, j), e.at(start, self.place(j)), self.mask(j))


def emit_tile(context: Any, builder: Any, signature: Any, args: Any) -> Value:
    """`tile_loops` in registers."""
    kinds = signature.args
    vectors = kinds[0].literal_value
    _, A, i0, k0, depth, panel, bias, C, j0, rows, columns, first, relu = args
    e = Emitter(context, builder, kinds[1].dtype)
    size = e.index(e.size)
    a, (down, along) = e.array(kinds[1], A)
    last = builder.sub(rows, e.index(1))
    starts = []
    for i in range(ROWS):  # a row that A does not have is read as its last one
        there = builder.select(builder.icmp_signed("<", e.index(i), last), e.index(i), last)
        starts.append(e.at(a, (builder.add(i0, there), down), (k0, along)))
    b, _ = e.array(kinds[5], panel)
    c, (stride, _) = e.array(kinds[7], C)
    sums = Sums(e, vectors, e.at(c, (i0, stride), (j0, size)), stride, rows, columns)
    biases, _ = e.array(kinds[6], bias)
    count = cgutils.unpack_tuple(builder, context.make_array(kinds[6])(context, builder, bias).shape, 1)[0]
    sums.begin(first, e.at(biases, (j0, size)), builder.icmp_signed(">", count, e.index(0)))
    with cgutils.for_range(builder, depth) as loop:
        step = e.at(b, (loop.index, e.index(vectors * e.lanes * e.size)))
        loaded = [e.load(e.at(step, (e.index(j * e.lanes), size))) for j in range(vectors)]
        for i, start in enumerate(starts):
            number = e.spread(e.load(e.at(start, (loop.index, along)), e.number))
            for j, vector in enumerate(loaded):
                sums.set(i, j, e.multiply_add(number, vector, sums.get(i, j)))
    sums.clip(relu)
    sums.end()
    return context.get_dummy_value()


def emit_turn(context: Any, builder: Any, signature: Any, args: Any) -> Value:
    """`turn_loops` by perfect shuffles."""
    B, k0, j0, panel, at, width = args
    e = Emitter(context, builder, signature.args[0].dtype)
    size = e.index(e.size)
    b, (down, along) = e.array(signature.args[0], B)
    b = e.at(b, (k0, down), (j0, along))
    vectors = [e.load(e.at(b, (e.index(j), along))) for j in range(e.lanes)]
    half = e.lanes // 2
    low = [lane for k in range(half) for lane in (k, e.lanes + k)]
    high = [lane + half for lane in low]
    for _ in range(half.bit_length()):
        pairs = [(vectors[j], vectors[j + half]) for j in range(half)]
        vectors = [e.shuffle(*pair, lanes) for pair in pairs for lanes in (low, high)]
    out, _ = e.array(signature.args[3], panel)
    for k, vector in enumerate(vectors):
        e.store(vector, e.at(out, (at, size), (builder.mul(e.index(k), width), size)))
    return context.get_dummy_value()


def emit_copy(context: Any, builder: Any, signature: Any, args: Any) -> Value:
    """`copy_loops` as one load and one store."""
    B, k, j0, panel, at = args
    e = Emitter(context, builder, signature.args[0].dtype)
    b, (down, along) = e.array(signature.args[0], B)
    out, _ = e.array(signature.args[3], panel)
    e.store(e.load(e.at(b, (k, down), (j0, along))), e.at(out, (at, e.index(e.size))))
    return context.get_dummy_value()


N = types.intp


@intrinsic(prefer_literal=True)  # the number of vectors decides which instructions there are
def tile_vectors(typing, vectors, A, i0, k0, depth, panel, bias, C, j0, rows, columns, first, relu):
    """`tile_loops` as instructions."""
    return types.void(vectors, A, N, N, N, panel, bias, C, N, N, N, types.boolean, types.boolean), emit_tile


@intrinsic
def turn_vectors(typing, B, k0, j0, panel, at, width):
    """`turn_loops` as instructions."""
    return types.void(B, N, N, panel, N, N), emit_turn


@intrinsic
def copy_vectors(typing, B, k, j0, panel, at):
    """`copy_loops` as instructions."""
    return types.void(B, N, N, panel, N), emit_copy


if TILE.bits and not config.DISABLE_JIT:
    tile, turn, copy = tile_vectors, turn_vectors, copy_vectors
else:
    tile, turn, copy = (register_jitable(loops) for loops in (tile_loops, turn_loops, copy_loops))
