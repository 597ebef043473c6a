# %% [markdown]
# # 6 · Scores against the truth
#
# Tutorial 5 tried every removal. With thousands of neurons one wants a number that foretells the cost. The document
# prints one; here is what it does, what follows from the loss instead, and where that is not a guess but exact.

# %%
from fractions import Fraction
from itertools import combinations

import numpy as np

import minprune as mp
from minprune import worked
from minprune.correlation import spearman
from minprune.plots import rank_ranks, score_bars, show, with_tangents

np.set_printoptions(precision=4, suppress=True)

example = worked.example()
net, rec = example.net, example.rec
data = (worked.X, worked.TARGET)
h, s = rec["dense1"].a[0], rec["dense1"].grad_a[0]
truth = np.array([example.change(j) for j in range(5)])
print("h =", h, " s =", s, " truth =", truth)
assert round(rec.loss, 4) == 0.1043
assert h.round(4).tolist() == [0.7503, 0.2689, 0.8581, 0.5987, 0.7311]
assert s.round(4).tolist() == [-0.0848, 0.0385, -0.0899, 0.0461, 0.0487]


def scores(network, criterion):
    return mp.score(network, data, criterion, loss=worked.LOSS)["dense1"]


def named(indices):
    """Python counts from 0, names from 1."""
    return ", ".join(f"h{j + 1}" for j in indices)


# %% [markdown]
# Several small networks are needed on the way. Whenever one of them speaks, its name is in front of what it says:
#
# | name | hidden layer | output | its loss | what it is for |
# |---|---|---|---|---|
# | sigmoid | 5 sigmoids | sigmoid | 0.1043 | the worked example of tutorials 1 to 5 |
# | cut off | 5 sigmoids | sigmoid | 0.0944 | the same, and nobody reads `h2` |
# | linear | 5 sigmoids | linear | 1.4105 | the same without the sigmoid at the output |
# | ReLU | 5 ReLUs | linear | 2.6666 | the same weights in eighths: a dead neuron, and exact fractions |
# | deep | 5 and 4 ReLUs | linear | 2.3888 | a kink between a neuron and the output |

# %% [markdown]
# ## What must a score foretell?
#
# When neuron $j$ leaves, its output goes from $h_j$ to 0: a step of $-h_j$. Slope times step gives, to first order,
#
# $$\Delta L_j = L(\text{without } j) - L \;\approx\; s_j \cdot (0 - h_j) = -h_j\, s_j .$$
#
# **Predict** from $s_1 = -0.0848$ and $h_1 = 0.7503$ what removing `h1` costs.

# %%
first_order = -h * s
print("first order", first_order)
print("truth      ", truth)
assert first_order.round(4).tolist() == [0.0637, -0.0103, 0.0772, -0.0276, -0.0356]
assert truth.round(4).tolist() == [0.0818, -0.0099, 0.0979, -0.0198, -0.0304]
assert np.allclose(first_order, scores(net, "taylor_signed"))
assert (np.sign(first_order) == np.sign(truth)).all()

# %% [markdown]
# $0.0848 \cdot 0.7503 \approx 0.0637$, and the truth is 0.0818: not exact, but every sign is right, and so is the order
# of all five. Its name is the *Taylor* score, after the series whose first term it is. There are two of them, and they
# choose different neurons:
#
# * `taylor_signed`, $-h_j s_j$, is the number above: it says whether the loss rises or falls.
# * `taylor`, $|h_j s_j|$, is its size: *how much* changes, whichever way. It is what one meets in papers, since over
#   many samples of a trained network positive and negative effects nearly cancel, and what is left says little.
#
# The lowest goes first. **Predict**: which neuron is it by the one, and which by the other?

# %%
by_sign, by_size = scores(net, "taylor_signed"), scores(net, "taylor")
print("sigmoid, -h s: ", by_sign, "lowest:", named([by_sign.argmin()]))
print("sigmoid, |h s|:", by_size, "lowest:", named([by_size.argmin()]))
assert by_size.round(4).tolist() == [0.0637, 0.0103, 0.0772, 0.0276, 0.0356]
assert named([by_sign.argmin()]) == "h5"
assert named([by_size.argmin()]) == "h2"
assert (np.argsort(by_size) == np.argsort(np.abs(s))).all()

# %% [markdown]
# By sign `h5` goes ($-0.0356$), by size `h2` (0.0103).
#
# ## What the document prints
#
# $$s_i = \frac{\partial L}{\partial o_i} \quad (4.1.2), \qquad I_i = \frac{1}{s_i} \quad (4.1.3), \qquad
# \text{prune the lowest } I .$$
#
# 重要性评分可以表示为神经元贡献度的倒数: importance is the inverse of the contribution. Read that twice. What
# contributes much is called unimportant.
#
# **Predict.** With $s = (-0.0848,\ 0.0385,\ -0.0899,\ 0.0461,\ 0.0487)$: which two have the lowest $1/|s|$? And which
# the lowest $1/s$, sign and all?

# %%
printed = 1 / np.abs(s)
print("sigmoid, 1/|s|:", printed, "lowest:", named(np.argsort(printed)[:2]))
print("sigmoid, 1/s:  ", 1 / s, "lowest:", named(np.argsort(1 / s)[:2]))
assert printed.round(2).tolist() == [11.79, 26.0, 11.12, 21.71, 20.52]
assert sorted(np.argsort(printed)[:2].tolist()) == sorted(np.argsort(1 / s)[:2].tolist()) == [0, 2]
show(score_bars(printed, [0, 2], truth, "the printed score, and what each removal really costs"), "06-printed")

# %% [markdown]
# `h1` and `h3`, either way: the two neurons whose removal costs most. From here on *the printed rule* means $1/|s|$
# (`inverse_sensitivity`): the document's program takes the modulus, its text does not.
#
# Three things are wrong with $1/s$.
#
# **The sign.** $s_i$ can be negative, and nothing in 4.1.3 says what a negative importance is.
#
# **The zero.** Where $s_i = 0$ the score is infinite. Cut `h2` off from both outputs: nobody reads it, it does nothing.

# %%
cut_off = net.copy()
cut_off.params["dense2.W"][:, 1] = 0
print("cut off, 1/|s|:", scores(cut_off, "inverse_sensitivity"), " truth:", scores(cut_off, "leave_one_out"))
assert scores(cut_off, "inverse_sensitivity")[1] == np.inf
assert scores(cut_off, "leave_one_out")[1] == 0
assert round(mp.record(cut_off, *data, loss=worked.LOSS).loss, 4) == 0.0944

# %% [markdown]
# The neuron that nobody reads is the most important of all, and would stay for ever.
#
# **The direction.** To first order the cost is $-h_j s_j$: a *large* $|s|$ means a large effect. And $s$ alone does not
# know how much the neuron puts out. (In our example $|s|$ and $|h s|$ put all five in the same order, so it does not
# show what the factor $h$ is for.) Take ReLU instead of the sigmoid in the hidden layer, and no activation at the
# output: `h2`, with $z < 0$, is dead and puts out 0. (The weights are rounded to eighths; that will be of use below.)

# %%
relu_net = mp.Sequential(mp.Dense(3, 5), mp.ReLU(), mp.Dense(5, 2))
for name, values in net.params.items():
    relu_net.params[name] = (values * 8).round() / 8
relu_rec = mp.record(relu_net, *data, loss=worked.LOSS)
hidden = relu_rec["dense1"]
print("ReLU, loss", relu_rec.loss, " y =", relu_rec.output[0])
for name in ("inverse_sensitivity", "taylor", "leave_one_out"):
    print(f"ReLU, {name:20}", scores(relu_net, name))
assert round(relu_rec.loss, 4) == 2.6666
assert relu_rec.output.tolist() == [[-2.21875, 1.640625]]
assert hidden.a[0, 1] == 0
assert hidden.grad_a[0, 1] != 0
assert scores(relu_net, "inverse_sensitivity").argmax() == 1
assert scores(relu_net, "taylor")[1] == scores(relu_net, "leave_one_out")[1] == 0

# %% [markdown]
# The dead neuron has a slope, $s \ne 0$, and here the highest printed score of the five. Its product $h s$ is 0, which
# is exactly what its removal costs. (The network puts out $(-2.21875,\ 1.640625)$, far from $(0, 1)$; that is why other
# removals help so much.)
#
# ## Two more lines of 4.2
#
# *"For a linear activation $\partial y/\partial o_i = 1$, so $s_i = \partial L/\partial y$."* With a linear output
# $\partial y_k/\partial o_i = w_{ki}$, the outgoing weight. Taken literally, every neuron gets the same $s$, the sum of
# both misses, $-1.5352 - 0.6815 \approx -2.2166$:

# %%
linear = worked.example("linear")
literal = worked.printed_linear_shortcut(linear.rec)
correct = linear.rec["dense1"].grad_a[0]
print("linear, loss", round(linear.rec.loss, 4), "; s as printed:", literal, " correct:", correct)
assert round(linear.rec.loss, 4) == 1.4105
assert (linear.rec.output - worked.TARGET).round(4).tolist() == [[-1.5352, -0.6815]]
assert (literal.round(4) == -2.2166).all()
assert correct.round(4).tolist() == [0.9728, 0.4261, 0.5976, 1.33, 0.4942]

# %% [markdown]
# *"$I_i = 1 / (\partial L/\partial y)$."* There is an $i$ on the left and none on the right.
#
# ## The choice of every rule
#
# Each rule removes the two neurons that it scores lowest. What does the loss do? (The last rule takes $1/s$ with the
# signs as 4.3 prints them, all reversed, see tutorial 3; `sensitivity` is $|s|$, `leave_one_out` the truth itself.)

# %%
for title, found in (("sigmoid output", example), ("linear output", linear)):
    print(title)
    for rule, pair in found.picks.items():
        print(f"  {rule:28} removes h{pair[0] + 1}, h{pair[1] + 1}: {found.change(*pair):+.4f}")
assert example.picks["inverse_sensitivity"] == example.picks["inverse_sensitivity_signed"] == [0, 2]
assert max((gone for gone in example.loss_without if len(gone) == 2), key=example.loss_without.get) == (0, 2)
assert example.picks["inverse of 4.3 as printed"] == [1, 3]
assert example.picks["taylor"] == [1, 3]
assert example.picks["taylor_signed"] == example.picks["leave_one_out"] == [3, 4]
assert round(example.change(1, 3), 4) == -0.0263
assert round(example.change(3, 4), 4) == -0.0394

# %% [markdown]
# With the sigmoid output the printed rule and $1/s$ with the right signs pick the worst pair of ten, `taylor` one that
# lowers the loss by 0.0263, and `taylor_signed` the best, 0.0394. With the reversed signs of 4.3 $1/s$ happens to pick
# `h2` and `h4`, as `taylor` does, and lowers the loss: the inverse and the sign are two errors that cancel here.
#
# **And now look at the linear output**, before you believe in anything: there the printed rule picks the best pair,
# `h1` and `h4`, and `taylor` does not.

# %%
pairs = sorted(combinations(range(5), 2), key=lambda pair: linear.change(*pair))
for pair in pairs:
    print(f"linear, {named(pair)}: {linear.change(*pair):+.4f}")
assert linear.picks["inverse_sensitivity"] == [0, 3]
assert pairs[0] == (0, 3)
assert all(linear.change(j) < 0 for j in range(5))
assert [pair for pair in pairs if linear.change(*pair) > 0] == [(0, 2)]
assert round(linear.change(0, 2), 4) == 0.1235
assert round(linear.change(0, 3), 4) == -0.9869
assert round(linear.change(1, 4), 4) == -0.3590

# %% [markdown]
# No contradiction: this network is so far off its target that every *single* removal helps (of the pairs only `h1` with
# `h3` costs, 0.1235). Then the neuron with the largest effect is the one to remove, and a rule that removes the largest
# effects looks wise. Signs know the difference, sizes do not. And one sample with five neurons is an anecdote; a real
# network follows below.
#
# ## Second order
#
# Turn the gate of `h1` slowly from 1 to 0 and watch the loss. The straight line is the first order. The parabola adds
# the curvature, $\tfrac12 h_j^2\, \partial^2 L/\partial h_j^2$. Of that second derivative one keeps the part in which
# the network is taken as straight at this place, and only the loss as curved (Gauss and Newton did so): output $k$
# answers to $h_j$ with the slope $o_k (1 - o_k)\, w_{kj}$ of tutorial 3, and $\tfrac12 (o_k - t_k)^2$ has the second
# derivative 1. So
#
# $$\Delta L_j \;\approx\; -h_j s_j + \tfrac12\, h_j^2 \sum_k \big(o_k (1 - o_k)\, w_{kj}\big)^2 .$$
#
# The second term alone is called `curvature`, the sum `taylor2`. For `h1`:
#
# $$0.0637 + \tfrac12 \cdot 0.7503^2 \cdot \big((0.1458 \cdot (-0.9))^2 + (0.2438 \cdot 0.6)^2\big)
# \approx 0.0637 + 0.0109 \approx 0.0745 .$$

# %%
o = rec.output[0]
answers = (o * (1 - o))[:, None] * net.params["dense2.W"]  # slopes of both outputs by each h: (2,5)
print("o (1 − o) =", o * (1 - o), " ½ h² Σ (…)² =", 0.5 * h**2 * (answers**2).sum(axis=0))
assert (o * (1 - o)).round(4).tolist() == [0.1458, 0.2438]
assert np.allclose(0.5 * h**2 * (answers**2).sum(axis=0), scores(net, "curvature"))
assert round(0.5 * h[0] ** 2 * (answers[:, 0] ** 2).sum(), 4) == 0.0109


# %%
def loss_at(gate):
    """The loss of the worked example when h1 is multiplied by this gate, for an array of gates."""
    W2, b2, t = net.params["dense2.W"], net.params["dense2.b"], np.array(worked.TARGET)
    hidden = np.repeat(h[None], len(gate), axis=0)  # (G,5)
    hidden[:, 0] *= gate
    o = 1 / (1 + np.exp(-(hidden @ W2.T + b2)))
    return 0.5 * ((o - t) ** 2).sum(axis=1)


slope, curvature = h[0] * s[0], scores(net, "curvature")[0]
approximations = {
    "first order": lambda m: rec.loss + slope * (m - 1),
    "second order": lambda m: rec.loss + slope * (m - 1) + curvature * (m - 1) ** 2,
}
show(
    with_tangents(
        loss_at, (-0.1, 1.3), 1.0, approximations, marks={"h1 gone": 0.0}, xlabel="gate of h1", ylabel="loss"
    ),
    "06-gate",
)
second_order = scores(net, "taylor2")
print("sigmoid, second order", second_order, "truth", truth)
assert np.isclose(loss_at(np.array([0.0]))[0] - rec.loss, truth[0])
assert np.isclose(second_order[0], -slope + curvature)
assert second_order.round(4).tolist() == [0.0745, -0.0100, 0.0917, -0.0224, -0.0316]
assert (abs(second_order - truth) < abs(first_order - truth)).all()

# %% [markdown]
# 0.0745 after 0.0637, on the way to 0.0818; for every one of the five neurons the second order is closer. It is still
# an approximation, since the output's sigmoid is no parabola.
#
# ## Where it is no approximation
#
# Take the sigmoid at the output away. Then $y = h W^\top + b$ is linear in $h_j$ (the factor $o_k(1 - o_k)$ is gone),
# the loss $\tfrac12 \sum_k (y_k - t_k)^2$ is a parabola in $h_j$, and a parabola *is* its second-order series:
#
# $$\Delta L_j = -h_j s_j + \tfrac12\, h_j^2 \sum_k w_{kj}^2, \qquad\text{exactly.}$$
#
# "Exactly" is a word that one can test: in fractions, by hand, against the real removal. The ReLU network serves, since
# its weights are eighths and ReLU makes no others of them.

# %%
exact = relu_net.astype(object)
xs = np.array([[Fraction(v) for v in (1, 2, 3)]])
ts = np.array([Fraction(0), Fraction(1)])
W1, b1, W2, b2 = exact.params.values()


def exact_loss(network):
    return sum((network(xs)[0] - ts) ** 2) / 2


hs = np.maximum(xs[0] @ W1.T + b1, 0)
ss = (hs @ W2.T + b2 - ts) @ W2  # ∂L/∂h, (2,)(2,5) -> (5,)
by_formula = -hs * ss + hs**2 * (W2**2).sum(axis=0) / 2
by_removal = [exact_loss(mp.remove(exact, mp.Plan({"dense1": [j]}))) - exact_loss(exact) for j in range(5)]
for j in range(5):
    print(f"ReLU, h{j + 1}: formula {by_formula[j]!s:>10}, removal {by_removal[j]!s:>10}")
assert all(by_formula == by_removal)
assert [j for j in range(5) if by_removal[j] > 0] == [4]
assert by_removal[1] == 0

# %% [markdown]
# Five equalities of fractions, with `==`. (Here only `h5` costs something, and `h2` is dead.)
#
# > **The second order is exact if** one neuron leaves, nothing but linear layers and ReLUs that do not flip stands
# > between it and the output, the output is linear, and the loss is the squared error.
#
# There nobody has to try removals: `taylor2` knows the truth from one pass. The float engine says the same numbers, for
# the ReLU network and for the linear one:

# %%
assert (scores(relu_net, "taylor2") == np.array(by_removal, dtype=float)).all()
assert np.allclose(
    mp.score(linear.net, data, "taylor2", loss=worked.LOSS)["dense1"], [linear.change(j) for j in range(5)]
)
print("taylor2 of the linear example:", mp.score(linear.net, data, "taylor2", loss=worked.LOSS)["dense1"])

# %% [markdown]
# ### Where exactness ends
#
# **Two neurons at once.** The parabola has two variables now, and a product $h_i h_j$ that no single score contains. So
# no sum of *single* scores is exact for two; with the cross term the formula is again:
#
# $$\Delta L_{ij} = \Delta L_i + \Delta L_j + h_i h_j \sum_k w_{ki} w_{kj} .$$
#
# **Predict** whether the extra term is positive for two neurons that pull the outputs the same way.

# %%
cross = hs[0] * hs[2] * (W2[:, 0] * W2[:, 2]).sum()
both = exact_loss(mp.remove(exact, mp.Plan({"dense1": [0, 2]}))) - exact_loss(exact)
print(f"ReLU: alone {by_removal[0]} and {by_removal[2]}, cross term {cross}, together {both}")
assert both == by_removal[0] + by_removal[2] + cross
assert both != by_removal[0] + by_removal[2]
assert str(cross) == "135/64"
print("ReLU, h: ", hidden.a[0])
print("ReLU, outgoing weights, a column for each neuron:", relu_net.params["dense2.W"], sep="\n")

# %% [markdown]
# Positive, 135/64: `h1` and `h3` have outgoing weights of the same signs. Two copies of one neuron are each worth
# little alone and much together.
#
# So the two neurons that are best to remove alone need not be the best pair. **Predict** from the five removals of this
# network and from the outgoing weights: which pair is it?


# %%
def without(*gone):
    """What it costs the ReLU network to lose these neurons."""
    return exact_loss(mp.remove(exact, mp.Plan({"dense1": gone}))) - exact_loss(exact)


tried = sorted(combinations(range(5), 2), key=lambda pair: without(*pair))
for gone in [*((j,) for j in range(5)), *tried]:
    print(f"ReLU, without {named(gone)}: {float(without(*gone)):+.4f}")
assert tried[0] == (2, 4)
assert sorted(range(5), key=without)[:2] == [2, 0]
assert [round(float(without(j)), 4) for j in (2, 0, 4)] == [-2.0435, -1.7637, 0.1393]
assert round(float(without(0, 2)), 4) == -1.6978
assert round(float(without(2, 4)), 4) == -2.3656
assert round(float(hs[2] * hs[4] * (W2[:, 2] * W2[:, 4]).sum()), 4) == -0.4614

# %% [markdown]
# Alone `h3` ($-2.0435$) and `h1` ($-1.7637$) help most, but together ($-1.6978$) less than either of them. The best
# pair is `h3` with `h5` ($-2.3656$), though `h5` alone costs 0.1393: they pull the second output against each other,
# and their cross term is negative, $-0.4614$.
#
# **A kink on the way.** With another ReLU layer in between, everything is linear only as long as the same neurons of
# that layer stay on. Weights are again multiples of 1/8, so that floats do not round.

# %%
rng = np.random.default_rng(0)
deep = mp.Sequential(mp.Dense(3, 5), mp.ReLU(), mp.Dense(5, 4), mp.ReLU(), mp.Dense(4, 2), dtype=np.float64)
for name, values in deep.params.items():
    deep.params[name] = rng.integers(-8, 9, values.shape) / 8
claimed = mp.score(deep, data, "taylor2", loss=worked.LOSS)
removed = mp.score(deep, data, "leave_one_out", loss=worked.LOSS)


def switched_on(network):
    return mp.record(network, *data, loss=worked.LOSS)["dense2"].z[0] > 0


flips = [(switched_on(mp.mask(deep, mp.Plan({"dense1": [j]}))) != switched_on(deep)).any() for j in range(5)]
for j in range(5):
    both = f"taylor2 {claimed['dense1'][j]:8.4f}, truth {removed['dense1'][j]:8.4f}"
    print(f"deep, first layer, h{j + 1}: {both}, something flips: {flips[j]}")
assert (claimed["dense2"] == removed["dense2"]).all()
assert ((claimed["dense1"] == removed["dense1"]) == ~np.array(flips)).all()
assert flips == [False, False, False, False, True]
assert round(mp.record(deep, *data, loss=worked.LOSS).loss, 4) == 2.3888

# %% [markdown]
# In the last hidden layer all are exact. In the first, all but `h5`: without it a neuron of the second layer switches
# on, and the parabola knew nothing of that. It foretold $-1.6679$; the truth is $+1.0132$.

# %%
assert round(claimed["dense1"][4], 4) == -1.6679
assert round(removed["dense1"][4], 4) == 1.0132

# %% [markdown]
# **A curved output or loss.** A sigmoid, or the cross-entropy: there the second order is a good guess, as above, and no
# more.
#
# ## A real network
#
# 96 hidden neurons, trained on 1,078 handwritten digits; the truth is 96 removals, each with all samples. How well does
# each score's *order* match the truth's? Spearman's $\rho$ is 1 for the same order, 0 for none, $-1$ for the reverse.
#
# **Predict** the sign for the printed rule.

# %% tags=["timing"]
digits = mp.data.digits()
real = mp.Sequential(mp.Dense(64, 64), mp.ReLU(), mp.Dense(64, 32), mp.ReLU(), mp.Dense(32, 10), rng=0)
mp.fit(real, digits, epochs=15, rng=0, progress=False)


def together(criterion):
    found = mp.score(real, digits, criterion)
    return np.concatenate([found[group] for group in found])


names = ("inverse_sensitivity", "sensitivity", "taylor", "taylor2")
costs = together("leave_one_out")
found = {name: together(name) for name in names}
rho = {name: float(spearman(values, costs)) for name, values in found.items()}
print({name: round(value, 2) for name, value in rho.items()})
show(rank_ranks(found, costs), "06-ranks")
assert rho["inverse_sensitivity"] < -0.3
assert np.isclose(rho["inverse_sensitivity"], -rho["sensitivity"])
assert rho["taylor"] > 0.85
assert rho["taylor2"] > 0.98

# %% [markdown]
# The printed rule is exactly as far below zero as `sensitivity`, its inverse, is above: it ranks neurons backwards.
# `taylor` is above 0.85, `taylor2` above 0.98. (On larger networks and unseen samples the gap between the two grows;
# the README has the numbers.)
#
# Mind what this is *not*: a promise about removing half of the network at once. Removals do not add up, as the cross
# term said. Tutorial 8 deals with that.
#
# Exercises: [exercises/06_scores_against_the_truth.py](exercises/06_scores_against_the_truth.py).
#
# Next: [7 · the listing repaired](07_the_listing_repaired.py).
