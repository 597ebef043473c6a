"""What the CPU at hand can do, and the tile that suits it.

A tile is the piece of the result that a micro-kernel keeps in registers while it walks along the sum. It is
`rows` × `vectors` registers large; each step of the walk loads `vectors` registers of one factor, spreads `rows`
numbers of the other over a register each, and does rows · vectors fused multiply-adds. The more of them per load, the
better, as long as all of it fits into the registers that there are:

    width   registers   tile    accumulators + vectors + 1
    512     32          8 × 3   24 + 3 + 1 = 28     AVX-512
    256     16          4 × 3   12 + 3 + 1 = 16     AVX2 with FMA
    128     32          8 × 3   24 + 3 + 1 = 28     NEON
    0       –           4 × 2   plain loops, which the compiler may make into vectors of any width

Batches are powers of two more often than not, and so are the rows of a tile: 6 × 2 would have fewer loads, but 32
samples would take 36.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from ..errors import MinpruneError

VARIABLE = "MINPRUNE_KERNEL_WIDTH"


@dataclass(frozen=True)
class Tile:
    """Bits of a vector register (0: none is used), and how many rows and vectors a tile has."""

    bits: int
    rows: int
    vectors: int

    @property
    def bytes(self) -> int:
        """Of one vector; plain loops walk in steps of 32, too."""
        return (self.bits or 256) // 8

    def __str__(self) -> str:
        return f"{self.bits}-bit vectors in tiles of {self.rows} × {self.vectors}" if self.bits else "plain loops"


TILES = {
    512: Tile(512, rows=8, vectors=3),
    256: Tile(256, rows=4, vectors=3),
    128: Tile(128, rows=8, vectors=3),
    0: Tile(0, rows=4, vectors=2),
}


@dataclass(frozen=True)
class Target:
    """What Numba compiles for: as LLVM calls system, CPU and features."""

    triple: str
    cpu: str
    features: str

    @property
    def widths(self) -> tuple[int, ...]:
        """The vector widths in bits that it has, the widest first; 0, plain loops, always ends them.

        Examples
        --------
        >>> Target("x86_64-unknown-linux-gnu", "haswell", "+avx2,+fma,-avx512f").widths
        (256, 128, 0)
        >>> Target("arm64-apple-darwin", "apple-m1", "+neon").widths
        (128, 0)
        >>> Target("x86_64-unknown-linux-gnu", "generic", "").widths
        (0,)
        """
        has = {feature[1:] for feature in self.features.split(",") if feature.startswith("+")}
        if self.triple.startswith(("aarch64", "arm64")):
            return (128, 0)  # NEON with fused multiply-add belongs to every 64-bit ARM
        if not {"avx2", "fma"} <= has:
            return (0,)
        return (512, 256, 128, 0) if "avx512f" in has else (256, 128, 0)


@cache
def target() -> Target:
    """The target that Numba has in force (NUMBA_CPU_NAME and NUMBA_CPU_FEATURES included)."""
    from numba.core.registry import cpu_target

    return Target(*cpu_target.target_context.codegen().magic_tuple())


def choose_tile(widths: tuple[int, ...], environ: Mapping[str, str] | None = None) -> Tile:
    """The tile of the widest vectors, or of those that MINPRUNE_KERNEL_WIDTH names.

    Parameters
    ----------
    widths : tuple of int
        What the target has.
    environ : mapping, optional
        By default the process's environment.

    Raises
    ------
    MinpruneError
        When the variable names a width that this CPU does not have.

    Examples
    --------
    >>> choose_tile((256, 128, 0), {})
    Tile(bits=256, rows=4, vectors=3)
    >>> choose_tile((256, 128, 0), {"MINPRUNE_KERNEL_WIDTH": "0"})
    Tile(bits=0, rows=4, vectors=2)
    """
    asked = (os.environ if environ is None else environ).get(VARIABLE)
    if not asked:
        return TILES[widths[0]]
    if asked not in map(str, widths):
        raise MinpruneError(f"{VARIABLE} is {asked!r}; this CPU has {', '.join(map(str, widths))} (0: plain loops)")
    return TILES[int(asked)]
