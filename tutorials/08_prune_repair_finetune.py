# %% [markdown]
# # 8 · Prune, repair, fine-tune, measure
#
# So far we had five neurons. Here are some hundred, and real data: 1,797 handwritten digits of 8 × 8 pixels. We go once
# round the whole cycle of the source document (3.1): score, decide, remove, evaluate, with two stations that it only
# hints at, repair and fine-tuning. On the way we look at what most disappoints people about pruning: *setting neurons
# to zero makes nothing faster*.
#
# Accuracies of a training hold on any machine up to a sample or two, so they are checked up to a point or so. Times
# belong to a machine, so they are checked as inequalities.

# %%
import numpy as np

import minprune as mp
from minprune import plots
from minprune.correlation import spearman
from minprune.learning_rates import Cosine
from minprune.models import mlp
from minprune.optim import AdamW
from minprune.plots import show

digits = mp.data.digits()
print(digits)


def train(net, epochs, rate=2e-3, seed=0):
    """Train in place: the best weights on the validation part stay."""
    mp.fit(
        net, digits, optimizer=AdamW(rate), schedule=Cosine(), epochs=epochs, batch_size=64, rng=seed, progress=False
    )
    return net


def accuracy(net, part="test"):
    """On the test part, which nothing was chosen by."""
    return mp.evaluate(net, getattr(digits, part), runtime=(), progress=False).accuracy


net = train(mlp(64, (256, 128), 10, rng=0, dtype=np.float64), epochs=12)
dense_accuracy = accuracy(net)
print(f"{net}, test accuracy {dense_accuracy:.3f}")
assert abs(dense_accuracy - 0.967) < 0.015
assert sum(array.size for array in net.params.values()) == 50_826
assert (len(digits.test), sum(map(len, (digits.train, digits.valid, digits.test)))) == (360, 1_797)

# %% [markdown]
# A network of 50,826 parameters, right on 97 % of the test digits.
#
# ## Score
#
# The Taylor score of a neuron is the mean of $|a\,s|$, its output times the slope of the loss by it: the first-order
# guess at what its removal would change ([tutorial 6](06_scores_against_the_truth.py)). For every neuron there is a
# truth, too: remove it, look, put it back. With 384 hidden neurons that is affordable. Does the guess follow it?

# %%
scores = mp.score(net, digits, "taylor", progress=False)
truth = mp.score(net, digits, "leave_one_out", progress=False)
rules = {
    rule: mp.score(net, digits, rule, progress=False) for rule in ("inverse_sensitivity", "magnitude_l2", "random")
}
everything = {name: np.concatenate([*s.values()]) for name, s in {**rules, "taylor": scores}.items()}
truth_of_all = np.concatenate([*truth.values()])
show(plots.rank_ranks(everything, truth_of_all, removed=192, title="384 hidden neurons"), "08-ranks")

# %% [markdown]
# In each panel a neuron is a dot: to the right those whose removal costs most, on top those with a high score. The
# orange ones are the lower half by the score: they would go. By `taylor` most of them are on the left, where it is
# cheap; by the document's rule `inverse_sensitivity` they are everywhere.
#
# Look at the column of dots near the left edge: neurons whose removal changes *nothing at all*. They are dead: their
# ReLU lets no training digit through, their output is 0. **Predict:** which rule knows?

# %%
dead = truth_of_all == 0
print(f"{dead.sum()} neurons whose removal changes nothing")
for rule, values in everything.items():
    goes = np.argsort(values, kind="stable")[:192]
    print(f"{rule:20} removes {dead[goes].sum()} of them in its lower half, ρ = {spearman(values, truth_of_all):.2f}")
lowest = np.argsort(everything["taylor"], kind="stable")[:192]
assert dead.sum() > 20
assert dead[lowest].sum() == dead.sum()
assert everything["taylor"][dead].max() == 0
assert dead[np.argsort(everything["inverse_sensitivity"])[:192]].mean() < dead.mean()  # fewer than by lot
assert spearman(everything["taylor"], truth_of_all) > 0.6 > spearman(everything["magnitude_l2"], truth_of_all)
assert spearman(everything["inverse_sensitivity"], truth_of_all) < 0.1

# %% [markdown]
# Taylor does: $a = 0$ makes $a\,s = 0$, so all of them go first. The document's rule looks at $s$ alone: how the loss
# would answer to these outputs *if they came*. It answers weakly, so their score $1/|s|$ is high and nearly all stay.
#
# ## Decide, and two ways to carry it out
#
# The lower half of all hidden neurons goes. **Predict:** will the two layers lose the same share?

# %%
plan = mp.decide(scores, mp.Global(0.5))
print(plan)
print({group: f"{len(gone)} of {net.neurons[group].size}" for group, gone in plan.drop.items()})
assert len(plan) == 192
assert len(plan.drop["dense1"]) / 256 > len(plan.drop["dense2"]) / 128

# %% [markdown]
# No: one ranking over both layers takes more from the first, whose neurons matter less, each. Now the plan can be
# carried out in two ways. `mask` sets the neurons' outputs to zero, wherever somebody reads them; all arrays keep their
# shapes. `remove` makes smaller arrays. Both compute the same:

# %%
masked = mp.mask(net, plan)
small = mp.remove(net, plan, data=digits)
x = digits.test.x.astype(np.float64)
difference = np.abs(masked(x) - small(x)).max()
print(f"largest difference of any output: {difference:.1e}")
print(f"certificate: {'ok' if small.certificate.ok else 'broken'}, {small.certificate.inputs}")
print({name: array.shape for name, array in small.params.items()})
assert difference < 1e-12
assert small.certificate.ok

# %% [markdown]
# ## Zeros are not speed
#
# **Predict:** half of the neurons are zero in the masked network. How much faster is it? And how much faster is the
# small one, which has about a third of the multiply-accumulates?
#
# We time pairs in turns, the dense network and another, so that what else the machine does hits both alike; the number
# is the median of the ratios, in brackets its 95 % interval. float32, as one would use it.

# %% tags=["timing"]
single = {"dense": net, "masked": masked, "removed": small}
single = {name: n.astype(np.float32) for name, n in single.items()}
measured = mp.compare(single, digits, progress=False)
print(measured)
zeros, smaller = measured.ratio["masked"][256].median, measured.ratio["removed"][256].median
assert zeros < 1.3
assert smaller > 1.15
assert smaller > zeros

# %%
macs = {name: ev.macs for name, ev in measured.evaluations.items()}
print(macs)
assert macs["dense"] == macs["masked"] == 50_432
assert macs["removed"] < 0.4 * macs["dense"]

# %% [markdown]
# The masked network is as slow as the dense one (often slower: it has to put the zeros in). A matrix product does not
# look whether a factor is 0. Only the network with *smaller arrays* is faster, and not by as much as the count of
# multiply-accumulates promises: a call also costs what does not shrink, and for a single sample that is most of it.
# So: masks for asking "what if", removal for speed.
#
# ## Repair
#
# The accuracies in the table above are bad. The layers that read the lost neurons got used to their outputs. Two ways
# to tell them, without any training. `mean`: a neuron that went put out something on average; add that, times its
# weight, to the reader's bias. `least_squares`: refit the reader's weights so that its sums, on the training digits,
# are what they were before, as nearly as the remaining neurons allow.

# %%
repaired = {str(repair): mp.remove(net, plan, repair=repair, data=digits) for repair in (None, "mean", "least_squares")}
after = {name: accuracy(n) for name, n in repaired.items()}
print({name: round(value, 3) for name, value in after.items()})
assert after["None"] < after["mean"] < after["least_squares"]
assert after["least_squares"] > 0.94

# %% [markdown]
# The least-squares repair brings back nearly all that was lost, in a fraction of a second and without labels.
#
# ## Fine-tune, and compare fairly
#
# Now five epochs of training. **Predict:** what must the pruned network be compared with?

# %%
tuned = train(repaired["least_squares"].copy(), epochs=5, rate=1e-3)
unrepaired = train(repaired["None"].copy(), epochs=5, rate=1e-3)
longer = train(net.copy(), epochs=5, rate=1e-3)
left = {name: len(values) - len(plan.drop[name]) for name, values in scores.items()}
scratch = train(mlp(64, tuple(left.values()), 10, rng=1, dtype=np.float64), epochs=17)
results = {
    "dense": net,
    "dense, 5 epochs more": longer,
    "pruned, repaired, 5 epochs": tuned,
    "pruned, 5 epochs": unrepaired,
    "as small, from scratch, 17 epochs": scratch,
}
for name, n in results.items():
    print(f"{name:36}{accuracy(n):.3f}")
assert min(accuracy(n) for n in results.values()) > 0.93
assert abs(accuracy(tuned) - accuracy(longer)) < 0.025

# %% [markdown]
# With the dense network *given the same five epochs*, and with a network of the small size that was trained from
# scratch for just as long. On these digits all of them end within a few of the 360 test samples of each other: the task
# is easy, and pruning's gain here is size and speed, not accuracy. That is worth knowing before one praises a method:
# the difference between two rules is worth nothing if training washes it out.
#
# ## What did it buy?

# %% tags=["timing"]
final = mp.compare({"dense": longer.astype(np.float32), "pruned": tuned.astype(np.float32)}, digits, progress=False)
before, now = final.evaluations["dense"], final.evaluations["pruned"]
rows = {
    "test accuracy": (before.accuracy, now.accuracy),
    "time per batch of 256 (µs)": (1e6 * before.runtime[256].median, 1e6 * now.runtime[256].median),
    "time per sample alone (µs)": (1e6 * before.runtime[1].median, 1e6 * now.runtime[1].median),
    "multiply-accumulates": (before.macs, now.macs),
    "parameters": (before.params, now.params),
    "bytes on disk": (before.bytes_disk, now.bytes_disk),
}
show(plots.speed_size(rows, title="Half of the hidden neurons removed, repaired, fine-tuned"), "08-gains")
assert final.ratio["pruned"][256].median > 1.15
assert now.params < 0.4 * before.params

# %% [markdown]
# ## How far can it go?
#
# One seed is an anecdote. Three seeds, four rules, every tenth: the lines are means, the bands the range.

# %%
fractions = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
nets = [net] + [train(mlp(64, (256, 128), 10, rng=s, dtype=np.float64), 12, seed=s) for s in (1, 2)]
curves = {}
for repair in (None, "least_squares"):
    curves[repair] = {}
    for rule in ("leave_one_out", "taylor", "random", "inverse_sensitivity"):
        by_seed = []
        for seed, n in enumerate(nets):
            found = mp.score(n, digits, rule, rng=seed, progress=False)
            plans = [mp.decide(found, mp.Global(f)) for f in fractions]
            by_seed.append([accuracy(mp.remove(n, p, repair=repair, data=digits), "valid") for p in plans])
        curves[repair][rule] = (fractions, np.array(by_seed))
    label = "validation accuracy, " + ("no repair" if repair is None else "least-squares repair")
    show(plots.accuracy_against_removed(curves[repair], ylabel=label), f"08-accuracy-{repair or 'none'}")

at_70 = {rule: by[1].mean(axis=0)[fractions.index(0.7)] for rule, by in curves["least_squares"].items()}
print("70 % removed, least squares:", {rule: round(float(value), 3) for rule, value in at_70.items()})
plain_70 = {rule: by[1].mean(axis=0)[fractions.index(0.7)] for rule, by in curves[None].items()}
print("70 % removed, no repair:    ", {rule: round(float(value), 3) for rule, value in plain_70.items()})
assert min(at_70[rule] - plain_70[rule] for rule in at_70) > 0.2
assert min(at_70, key=at_70.get) == "inverse_sensitivity"
at_half = {rule: by[1].mean(axis=0)[fractions.index(0.5)] for rule, by in curves[None].items()}
assert min(at_half, key=at_half.get) == "leave_one_out"

# %% [markdown]
# Read the two figures together. Without a repair everything falls early, and the *truth* falls earliest: it is the
# truth about one neuron at a time, and removals do not add up. Of two neurons that do the same each can be spared, but
# not both; and where the removal of one would help a little, the removal of all such need not. A random choice at
# least leaves some of every kind. With the repair the curves stay high, and the document's rule is the worst.
#
# ## What do those that stay look at?
#
# The first layer's weights as images: red adds, blue takes away. Crossed out is what goes.

# %%
show(
    plots.weight_images(
        net.params["dense1.W"], tuned.params["dense1.W"], plan.drop["dense1"], scores["dense1"], (8, 8)
    ),
    "08-weights",
)
best = int(np.argmax(scores["dense2"]))
told = mp.explain(net, "dense2", best, digits, plan=plan, progress=False)
print("\n".join(str(told).splitlines()[:12]))
assert best not in plan.drop["dense2"]

# %% [markdown]
# ## The same in one call
#
# `mp.prune` goes round the cycle, as often as you like; scored anew in each round, it does not rely on scores of a
# network that is no longer there.

# %%
result = mp.prune(
    net,
    digits,
    criterion="taylor",
    strategy=mp.Global(0.8),
    rounds=4,
    repair="least_squares",
    finetune=mp.FineTune(epochs=2, optimizer=AdamW(1e-3)),
    progress=False,
)
print(result.report().rsplit("\n", 1)[0])  # the last line is the certificate
once = mp.remove(net, mp.decide(scores, mp.Global(0.8)), repair="least_squares", data=digits)
print(f"test accuracy: four rounds {accuracy(result.net):.3f}, all at once and untrained {accuracy(once):.3f}")
assert len(result.history) == 4
assert accuracy(result.net) > accuracy(once)

# %% [markdown]
# ## What you can do now
#
# Prune a network of your own and say what came of it: accuracy before and after on data that chose nothing, the dense
# network given the same training, sizes, times in turns. And when somebody shows you a network that is "90 % sparse",
# ask how long a call takes.
#
# **Try:** replace `taylor` by `magnitude_l2`, and 0.5 by 0.7. What does the repair still make up for?
#
# Next: [09_filters_are_neurons.py](09_filters_are_neurons.py), the same in convolutional networks.
