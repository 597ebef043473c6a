# %% [markdown]
# # 11 · Anatomy of a kernel
#
# A dense layer is one line, $z = x W^\top + b$. Behind the line lie a few million multiply-adds, and between the
# slowest and the fastest way to do exactly these on the same core lies a factor of ten thousand. This tutorial walks
# from the one to the other, and then looks at the kernels of this project, `minprune/kernels/`, which do it in
# earnest.
#
# Times are those of the machine that ran it; the code checks orders only, with much room. But every version must first
# compute the right thing: *compare, and only then time*.

# %%
import inspect
from pathlib import Path

import numpy as np
from numba import njit

import minprune as mp
from minprune import backends, plots
from minprune.kernels.cases import bound
from minprune.ops.affine import affine
from minprune.plots import show
from minprune.timing import measure

N, I, J = 256, 784, 300  # noqa: E741  samples, inputs, neurons: the first layer of LeNet-300-100
rng = np.random.default_rng(0)
x = rng.standard_normal((N, I)).astype(np.float32)
W = rng.standard_normal((J, I)).astype(np.float32)
b = rng.standard_normal(J).astype(np.float32)
work = N * I * J
print(f"{work / 1e6:.1f} million multiply-adds on {(x.nbytes + W.nbytes) / 1e6:.1f} MB of numbers")
assert work == 60_211_200

# %% [markdown]
# ## The reference
#
# In this project a NumPy function says *what* is computed, and is what runs unless somebody chooses otherwise:

# %%
print(inspect.getsource(affine))

# %% [markdown]
# A kernel adds the same products in another order, so its last digits differ. By how much may they? Each of the two is
# within $\gamma \sum_i |x_i w_i|$ of the exact sum, $\gamma = Ku / (1 - Ku)$ for $K$ summands and the unit roundoff
# $u$; `bound` is twice that, entry by entry, and no correct kernel can miss it.

# %%
allowed = bound(affine, (x, W, b))
right = affine(x, W, b)
times = {}


def least(function, seconds=0.15):
    """Seconds of a call where the machine disturbed least: the lowest of five medians."""
    return min(measure(function, seconds / 5).median for _ in range(5))


def compare_and_time(name, function, samples=N, seconds=0.15):
    """Nanoseconds per multiply-add, after the check."""
    result = function(x[:samples], W, b)
    assert (np.abs(result - right[:samples]) <= allowed[:samples]).all(), name
    took = least(lambda: function(x[:samples], W, b), seconds)
    times[name] = 1e9 * took / (samples * I * J)
    print(f"{name:38}{times[name]:9.4f} ns per multiply-add")


# %% [markdown]
# ## Three loops in Python
#
# **Predict:** a core runs at about three billion cycles per second. How many nanoseconds does one multiply-add take in
# plain Python? (One sample is enough to tell.)


# %% tags=["timing"]
def loops(x, W, b):
    """For every sample n and neuron j: z[n, j] = b[j] + Σ_i x[n, i] W[j, i]."""
    z = np.empty((len(x), len(W)), dtype=x.dtype)
    for n in range(x.shape[0]):
        for j in range(W.shape[0]):
            total = b[j]
            for i in range(x.shape[1]):
                total += x[n, i] * W[j, i]
            z[n, j] = total
    return z


compare_and_time("Python, three loops", loops, samples=1, seconds=0.01)

# %% [markdown]
# Some hundred cycles of the processor for one of them: finding out what `x[n, i]` is, making a number object, throwing
# it away.
#
# ## The same loops, compiled
#
# Numba turns this very function into machine code for the types that it is called with. **Predict** the factor.

# %% tags=["timing"]
compiled_loops = njit(loops)
compare_and_time("Numba, the same three loops", compiled_loops, samples=64)
assert times["Numba, the same three loops"] < 0.05 * times["Python, three loops"]

# %% [markdown]
# A hundred times faster or more, and still slow. `total` is one number, and each addition has to wait for the one
# before, about four cycles. The compiler may not add in another order by itself: the result would change in its last
# digits.
#
# ## The same sums in another order
#
# So we choose an order in which neighbours are independent: for each input $i$, add $x_{ni}$ times *a whole column* of
# weights to a whole row of results. With $W^\top$ in memory row by row the inner loop walks along both, and the
# processor does 4, 8 or 16 neighbours with one instruction.


# %% tags=["timing"]
@njit
def along_neurons(x, W, b):
    """For every sample n, input i: z[n, :] += x[n, i] Wᵀ[i, :]."""
    turned = W.T.copy()  # (I, J)
    z = np.empty((x.shape[0], W.shape[0]), dtype=x.dtype)
    for n in range(x.shape[0]):
        for j in range(W.shape[0]):
            z[n, j] = b[j]
        for i in range(x.shape[1]):
            for j in range(W.shape[0]):
                z[n, j] += x[n, i] * turned[i, j]
    return z


compare_and_time("Numba, inner loop along neurons", along_neurons)
assert times["Numba, inner loop along neurons"] < times["Numba, the same three loops"]

# %% [markdown]
# Now the multiply-adds are cheap, and what takes the time is moving numbers: for every one of them a weight and a
# result are loaded and a result is stored.
#
# ## Use what you have loaded
#
# A weight is needed by all samples. Take four samples at once, and each load of a weight serves four multiply-adds.
# This is the idea of a *tile*: a piece of the result, here 4 rows, for which everything that is loaded is used several
# times.


# %% tags=["timing"]
@njit
def four_rows(x, W, b):
    """As before, for four samples at a time (N is a multiple of four here)."""
    turned = W.T.copy()
    z = np.empty((x.shape[0], W.shape[0]), dtype=x.dtype)
    for n in range(0, x.shape[0], 4):
        for j in range(W.shape[0]):
            z[n, j] = z[n + 1, j] = z[n + 2, j] = z[n + 3, j] = b[j]
        for i in range(x.shape[1]):
            p, q, r, s = x[n, i], x[n + 1, i], x[n + 2, i], x[n + 3, i]
            for j in range(W.shape[0]):
                w = turned[i, j]
                z[n, j] += p * w
                z[n + 1, j] += q * w
                z[n + 2, j] += r * w
                z[n + 3, j] += s * w
    return z


compare_and_time("Numba, four rows at a time", four_rows)

# %% [markdown]
# What is still missing: the results travel to memory and back for every $i$. In a good kernel the tile *stays in
# registers* for the whole sum, and it is as large as the registers allow. Python has no word for a register, so the
# innermost piece of this project's kernel is written in the processor's own instructions; beside it stand the loops
# that say what it does:

# %%
from minprune.kernels import vectors

print(inspect.getsource(vectors.tile_loops))

# %% tags=["timing"]
print(f"on this machine: {vectors.TILE}")

# %% [markdown]
# Around it lie the loops of `gemm.py`: they cut the matrices into parts that stay in the caches, and copy each part of
# the weights once into a *panel* in which the tile finds them one behind the other. The head of that file says why, in
# ten lines.
#
# ## NumPy, and this project's kernel
#
# NumPy hands the product to OpenBLAS, which has been tuned by hand for every processor for twenty years.
# `mp.backend("numba")` lets this project's kernels run in place of the references where they take the arguments:

# %% tags=["timing"]
compare_and_time("NumPy: x @ W.T + b", affine)
with mp.backend("numba"):
    affine(x, W, b)  # compiles, or loads what was kept
    compare_and_time("this project's kernel", affine)
show(plots.time_bars(times, "ns per multiply-add", "The same 60 million multiply-adds"), "11-versions")
assert times["NumPy: x @ W.T + b"] < 0.5 * times["Numba, the same three loops"]
assert times["this project's kernel"] < 0.5 * times["Numba, the same three loops"]
assert times["this project's kernel"] < 0.001 * times["Python, three loops"]
assert times["this project's kernel"] < 4 * times["NumPy: x @ W.T + b"]

# %% [markdown]
# The last two do several multiply-adds *per cycle*. From the top bar to the bottom one not a single product was saved:
# only the order changed, and where the numbers were when they were needed.
#
# ## Who takes what
#
# A kernel that is not faster has no place. So each says which arguments it takes, and NumPy gets the rest:

# %%
for function in ("affine", "affine_grad_x", "affine_grad_W"):
    print(f"{function:15}", backends.table()[f"minprune.ops.affine.{function}"]["numba"])
assert backends.table()["minprune.ops.affine.affine"]["numpy"] == "everything"

# %% [markdown]
# **Predict:** for which batch sizes does a whole network gain? Below, LeNet-300-100 forward with both backends. A
# single sample reads all of $W$ for one row of results: nothing can be used twice, the time is that of reading memory,
# and no kernel changes that.

# %% tags=["timing"]
from minprune.models import mlp

net = mlp(784, (300, 100), 10, rng=0)
ratios = {}
for batch in (1, 32, 256, 1024):
    images = rng.standard_normal((batch, 784)).astype(np.float32)
    seconds = {"numpy": np.inf, "numba": np.inf}
    outputs = {}
    for name in 4 * ("numpy", "numba"):  # in turns, so that what else the machine does hits both
        with mp.backend(name):
            outputs[name] = net(images)
            seconds[name] = min(seconds[name], measure(lambda images=images: net(images), 0.04).median)
    assert np.allclose(outputs["numpy"], outputs["numba"], atol=1e-3)
    ratios[batch] = seconds["numpy"] / seconds["numba"]
    shown = ", ".join(f"{name} {1e6 * took:7.0f} µs" for name, took in seconds.items())
    print(f"batch {batch:>4}: {shown}, ratio {ratios[batch]:.2f}")
assert min(ratios.values()) > 0.2

# %% [markdown]
# Above 1 the kernels are faster. What is gained is mostly one pass over the results: the kernel adds the bias while
# the tile is in registers, NumPy in a second walk through memory. (Where nothing is gained, nothing much is lost:
# `mp.backend("numpy")` is the default.)
#
# ## What a call costs
#
# **Predict:** one digit through a network of 64-32-10 is 2,368 multiply-adds, at 0.01 ns each. How long should it
# take, and how long does it?

# %% tags=["timing"]
tiny = mlp(64, (32,), 10, rng=0)
one = rng.standard_normal((1, 64)).astype(np.float32)
assert sum(W.size for name, W in tiny.params.items() if name.endswith(".W")) == 2_368
program = mp.compile(tiny, batch_size=1)
assert np.allclose(program(one), tiny(one), atol=1e-5)
called, run = least(lambda: tiny(one)), least(lambda: program(one))
print(f"the network: {1e6 * called:.1f} µs, the same as a program: {1e6 * run:.1f} µs, its multiply-adds: 0.02 µs")
assert run < called

# %% [markdown]
# A thousand times as long: walking through the network's nodes in Python, checking shapes, making arrays. `mp.compile`
# does all that once, ahead. And here is the limit that pruning has to do with: what does not depend on the number of
# neurons does not shrink with them, and smaller matrices use the processor less well. That is why tutorial 8 found a
# smaller gain than the count promises, and none for a single digit.
#
# ## On a graphics card
#
# The same ideas, with other words: a *block* of threads computes a tile of the result, threads of a block fetch pieces
# of both matrices into *shared memory*, each keeps its own small tile in registers, and neighbouring threads must read
# neighbouring numbers. The source of the matrix product, where this version has it:

# %% tags=["timing"]
source = Path(mp.__file__).parent / "kernels" / "cuda" / "gemm.py"
if source.exists():
    text = source.read_text(encoding="utf-8")
    start = text.index("@kernel")
    print(text[start : text.index("\n\n\n", start)])
else:
    print("this version has no kernels for graphics cards")

# %% [markdown]
# Without a card such a kernel can be compared with its reference in Numba's simulator, which runs the threads one
# after the other on the CPU. *Nothing here has been run on a graphics card*, so no time stands here: a time without
# the hardware would be an invention.
#
# ## What you can do now
#
# Read a kernel: find what is loaded, how often it is used before it is loaded again, and what has to wait for what.
# And when you write one: first the reference, then the comparison at every odd size, then the clock.
#
# **Try:** `four_rows` with eight rows; then with a block of 64 neurons at a time, so that the results stay in the
# nearest cache. `CONTRIBUTING.md` shows how a kernel registers itself.
#
# Next: [12_choosing.py](12_choosing.py).
