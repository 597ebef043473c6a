# %% [markdown]
# # 10 · Weights instead of neurons: sparsity that pays
#
# The document (section 1) knows two kinds of pruning, of structure and of weights. For the second it says
# 通过降低神经元权重的大小来实现: it is done by making weights smaller. That is shrinkage.
# Here single weights are *set to zero and not stored*. Many more of them can go than neurons; what it is worth is
# another question, and this tutorial asks it in bytes, in accuracy and in microseconds.

# %%
import numpy as np

import minprune as mp
from minprune import plots
from minprune.learning_rates import Cosine
from minprune.models import mlp
from minprune.optim import AdamW
from minprune.plots import show
from minprune.sparse import SparseMatrix
from minprune.timing import measure

digits = mp.data.digits()


def train(net, epochs, rate=2e-3, seed=0):
    """Train in place; masked weights stay 0."""
    mp.fit(
        net, digits, optimizer=AdamW(rate), schedule=Cosine(), epochs=epochs, batch_size=64, rng=seed, progress=False
    )
    return net


def accuracy(net, part="test"):
    """Of the network on one part of the digits."""
    return mp.evaluate(net, getattr(digits, part), runtime=(), progress=False).accuracy


net = train(mlp(64, (256, 128), 10, rng=0, dtype=np.float64), epochs=12)
print(net, f"test accuracy {accuracy(net):.3f}")
assert accuracy(net) > 0.95

# %% [markdown]
# ## Which weights?
#
# The simplest score of a weight is its size, $|w|$. It does not look at any data. **Predict:** how many of the 50,432
# weights can be set to zero before the accuracy falls below 90 %?

# %%
by_size = mp.score(net, criterion="magnitude_l1", by="weight", progress=False)
for share in (0.5, 0.7, 0.8, 0.9, 0.95):
    masked = mp.mask(net, mp.decide(by_size, mp.Global(share)))
    kept = sum(int(mask.sum()) for mask in masked.masks.values())
    print(f"{share:4.0%} masked, {kept:6,} weights left: validation accuracy {accuracy(masked, 'valid'):.3f}")
assert sum(mask.size for mask in masked.masks.values()) == 50_432
at = {share: accuracy(mp.mask(net, mp.decide(by_size, mp.Global(share))), "valid") for share in (0.5, 0.8)}
assert at[0.5] > 0.93
assert at[0.8] < 0.9

# %% [markdown]
# About half, without touching the rest. (Half of the *neurons* cost far more in tutorial 8: a neuron takes its good
# weights with it.)
#
# ## Train what is left
#
# The masks hold: the optimiser moves the other weights only. **Predict:** is it better to mask all at once and train
# for six epochs, or to go in three rounds, each time a few more weights, with two epochs after each?
#
# And one more question. `magnitude_l1` compares weights of all layers with each other. `lamp` divides the square of a
# weight by the sum of the squares of all weights of its layer that are no smaller: it asks how much of what is *left*
# of its layer a weight is. Two seeds, and a random choice beside them:

# %%
shares = (0.8, 0.9, 0.95, 0.98)
nets = [net, train(mlp(64, (256, 128), 10, rng=1, dtype=np.float64), 12, seed=1)]
ways = {
    "lamp, three rounds": ("lamp", 3),
    "by size, three rounds": ("magnitude_l1", 3),
    "by size, at once": ("magnitude_l1", 1),
    "random, at once": ("random", 1),
}


def tuned(n, criterion, share, rounds, seed, block=None):
    """Mask in rounds, with six epochs of training in all."""
    tune = mp.FineTune(epochs=6 // rounds, optimizer=AdamW(2e-3), batch_size=64)
    how = {"rounds": rounds, "schedule": "cubic", "finetune": tune, "block": block, "rng": seed, "progress": False}
    return mp.prune_weights(n, digits, criterion, mp.Global(share), **how)


curves = {
    name: (
        shares,
        [[tuned(n, way[0], share, way[1], s).after.accuracy for share in shares] for s, n in enumerate(nets)],
    )
    for name, way in ways.items()
}
show(
    plots.accuracy_against_removed(curves, "validation accuracy, tuned for 6 epochs", "weights removed"), "10-accuracy"
)
ends = {name: float(np.mean(by_seed, axis=0)[-1]) for name, (_, by_seed) in curves.items()}
print("98 % masked:", {name: round(value, 2) for name, value in ends.items()})
assert ends["lamp, three rounds"] > ends["by size, three rounds"] > ends["by size, at once"]
assert np.mean(curves["lamp, three rounds"][1], axis=0)[1] > 0.93

# %% [markdown]
# In rounds; and nine tenths of the weights can go. At 98 % a ranking by size over all layers falls to pieces, for a
# reason that is easy to see when one counts what it leaves of each layer:

# %%
for criterion in ("magnitude_l1", "lamp"):
    plan = mp.decide(mp.score(net, criterion=criterion, by="weight", progress=False), mp.Global(0.98))
    masks = mp.mask(net, plan).masks
    print(criterion, {name: f"{int(mask.sum())} of {mask.size}" for name, mask in masks.items()})
    if criterion == "magnitude_l1":
        assert masks["dense2.W"].sum() < 50
    else:
        assert masks["dense2.W"].sum() > 100

# %% [markdown]
# The middle layer has the smallest weights and the most of them, so it is all but cut through, and the other layers'
# large weights lead nowhere. `lamp` leaves each layer a share.
#
# ## What is it worth in bytes?
#
# A zero in an array takes as many bytes as any other number. To save something, only the others may be stored, and then
# it has to be said *where* they stand. The usual way is CSR: the numbers row by row, the column of each, and where each
# row begins. **Predict** the three arrays for this matrix before you read on.

# %%
W = np.array([[0.0, 5.0, 0.0], [0.0, 0.0, 0.0], [7.0, 0.0, 8.0]], dtype=np.float32)
sparse = SparseMatrix.from_dense(W)
print("values ", sparse.values.ravel())
print("columns", sparse.columns)
print("offsets", sparse.offsets, "(row j owns the numbers offsets[j] to offsets[j + 1])")
assert sparse.values.ravel().tolist() == [5, 7, 8]
assert sparse.columns.tolist() == [1, 0, 2]
assert sparse.offsets.tolist() == [0, 1, 1, 3]
assert sparse.nbytes == 3 * 4 + 3 * 1 + 4 * 1
assert W.nbytes == 36

# %% [markdown]
# 12 bytes of numbers and 7 of places, against 36. A column index of one byte is enough here; wider matrices need two,
# so that a kept weight takes 6 bytes where a dense one takes 4. **Predict** from which share of zeros on that is a
# gain. ($6 (1 - r) < 4$, so from a third on.) Our network, nine tenths masked, trained again, in float32:

# %%
sparse_net = tuned(net, "lamp", 0.9, 3, seed=0).net.astype(np.float32)
print(mp.storage(sparse_net))
single = net.astype(np.float32)
dense_file, sparse_file = (mp.evaluate(n, digits, runtime=(), progress=False).bytes_disk for n in (single, sparse_net))
print(f"test accuracy {accuracy(single):.3f} → {accuracy(sparse_net):.3f}")
print(f"file {dense_file / 1000:.1f} → {sparse_file / 1000:.1f} kB")
assert sparse_file < 0.2 * dense_file
assert accuracy(sparse_net) > accuracy(single) - 0.04

# %% [markdown]
# The file shrinks to a fifth or less. (`save` stores a bit per weight and the kept numbers where that is smaller than
# CSR.) This is what weight pruning is for, when memory or a download is what is scarce.
#
# ## What is it worth in time?
#
# Nine tenths of the multiplications are gone. **Predict** how much faster the network is, (a) as it stands, with zeros
# in its arrays, (b) as a program that computes with the kept weights only, `mp.sparsify`, in NumPy.

# %% tags=["timing"]
x = {batch: np.resize(digits.test.x, (batch, 64)).astype(np.float32) for batch in (1, 256)}
programs = {"dense": single, "masked": sparse_net, "sparse, CSR": mp.sparsify(sparse_net, block=(1, 1))}


def least(program, images):
    """Seconds of a call where the machine disturbed least: the lowest of five medians."""
    return min(measure(lambda: program(images), 0.03).median for _ in range(5))


def timed(name, program):
    """Seconds of a call with one digit, and with 256; printed."""
    times = {batch: least(program, images) for batch, images in x.items()}
    shown = "   ".join(f"batch {batch:>3}: {1e6 * seconds:8.0f} µs" for batch, seconds in times.items())
    print(f"{name:16}{shown}")
    return times


times = {name: timed(name, program) for name, program in programs.items()}
assert times["masked"][256] > 0.7 * times["dense"][256]
assert times["sparse, CSR"][1] > 2 * times["dense"][1]
assert times["sparse, CSR"][256] > times["dense"][256]

# %%
csr = programs["sparse, CSR"]
assert np.allclose(csr(x[256]), sparse_net(x[256]), atol=1e-4)  # it does compute the same

# %% [markdown]
# Honestly: the masked network is no faster than the dense one, and the sparse program *in NumPy* is several times
# slower, although it does a tenth of the work. A matrix product streams through memory and does many multiply-adds per
# instruction; fetching single columns does neither, and each row is a call of its own. Sparsity of weights is not speed
# by itself. There are two ways out.
#
# **Blocks.** Take and leave weights by blocks of, say, 16 × 1: sixteen neurons share an input's index, and one fetch
# serves sixteen multiply-adds. What can be chosen is coarser, so it costs accuracy:

# %%
blocked = tuned(net, "lamp", 0.9, 3, seed=0, block=(16, 1)).net.astype(np.float32)
print(f"test accuracy: single weights {accuracy(sparse_net):.3f}, blocks of 16 × 1 {accuracy(blocked):.3f}")
print(mp.sparsify(blocked, block=(16, 1)))
assert 0.8 < accuracy(blocked) < accuracy(sparse_net)

# %% tags=["timing"]
programs["sparse, 16 × 1"] = mp.sparsify(blocked, block=(16, 1))
times["sparse, 16 × 1"] = timed("sparse, 16 × 1", programs["sparse, 16 × 1"])
assert times["sparse, 16 × 1"][256] < times["sparse, CSR"][256]

# %% [markdown]
# In batches the blocks come near the dense product or pass it; a single digit still costs several times as much.
#
# **Compiled code.** `mp.compile` makes a program for one batch size: for every dense layer it tries kernels on this
# very machine, dense ones and, where weights are masked, sparse ones, and keeps the fastest. **Predict** for which
# batch the sparse kernels win, and against which dense time they have to.

# %% tags=["timing"]
compiled = {}
for name, n in (("dense", single), ("nine tenths gone", sparse_net), ("in blocks of 16 × 1", blocked)):
    made = {batch: mp.compile(n, batch_size=batch) for batch in x}
    compiled[name] = {}
    for batch, run in made.items():
        assert np.allclose(run(x[batch]), n(x[batch]), atol=1e-4)
        compiled[name][batch] = least(run, x[batch])
    shown = "   ".join(f"batch {batch:>3}: {1e6 * seconds:8.1f} µs" for batch, seconds in compiled[name].items())
    print(f"compiled, {name:22}{shown}")
print(made[256].plan())
assert compiled["nine tenths gone"][256] < 1.2 * compiled["dense"][256]
assert compiled["in blocks of 16 × 1"][256] < 1.2 * compiled["dense"][256]

# %% [markdown]
# In batches, and on a CPU with wide vectors, the zeros pay at last: a kernel that keeps the results of many samples in
# registers uses each kept weight for all of them, and does a tenth of the work in a half of the time or less. It has
# to be compared with the *compiled* dense network, not with NumPy's: the program alone saves half. A single digit
# gains nothing from sparsity: its time is that of the calls. And look at the last column of the plan: where a sparse
# kernel is slower, the program takes the dense one.

# %% [markdown]
# ## Weights or neurons?
#
# The fair question: at the same size in bytes, which is better? Here is the same network with as many neurons removed
# as make its file as small as the sparse one's, trained as long:

# %%
wanted = sparse_file / dense_file
plan = mp.decide(mp.score(net, digits, "taylor", progress=False), mp.Budget(bytes=wanted))
small = train(mp.remove(net, plan, repair="least_squares", data=digits), epochs=6).astype(np.float32)
rows = {"dense": single, "nine tenths of the weights gone": sparse_net, "as few bytes in fewer neurons": small}
for name, n in rows.items():
    ev = mp.evaluate(n, digits, runtime=(), progress=False)
    print(f"{name:34}accuracy {ev.accuracy:.3f}, {ev.bytes_disk / 1000:>6.1f} kB on disk, {ev.macs:>7,} multiply-adds")
assert accuracy(small) > 0.9
assert mp.evaluate(small, digits, runtime=(), progress=False).macs < 0.25 * 50_432

# %% tags=["timing"]
times["fewer neurons"] = timed("fewer neurons", small)
program = mp.compile(small, batch_size=256)
print(f"compiled: {1e6 * least(program, x[256]):.1f} µs for 256 digits")
assert times["fewer neurons"][256] < times["dense"][256]
assert times["fewer neurons"][256] < times["sparse, CSR"][256]

# %% [markdown]
# Nearly alike in bytes and in accuracy; but the network with fewer neurons is faster *with nothing but NumPy*, on any
# machine, and compiled it is as fast as the best of the sparse ones. Weights give the finer choice; to make them pay
# takes a compiler. The two go together, too: first remove neurons, then mask weights of those that stay.
#
# ## What you can do now
#
# When a paper reports "90 % sparsity": ask for the bytes with the indices counted, and for the time of a call on the
# machine you have.
#
# **Try:** `"obd"` or `"taylor"` in place of `"lamp"`: they look at data. What do they gain at 98 %?
#
# Next: [11_anatomy_of_a_kernel.py](11_anatomy_of_a_kernel.py): why is a matrix product so fast?
