# %% [markdown]
# # 5 · What if neuron j leaves?
#
# There are two ways to be without a neuron. **Mask** it: leave the network as it is and let everybody who reads the
# neuron read 0. Or **remove** it: cut its numbers out, and have smaller arrays. The first is a question, the second a
# deed. This tutorial shows that both give the same output, and what it costs: the truth that scores must answer to.

# %%
from fractions import Fraction
from itertools import combinations

import numpy as np

import minprune as mp
from minprune import worked
from minprune.plots import network_values, running_sum, score_bars, show

np.set_printoptions(precision=4, suppress=True)

net = worked.network()
x, t = np.array(worked.X), np.array(worked.TARGET)
W1, b1, W2, b2 = net.params.values()
L = mp.record(net, x, t, loss=worked.LOSS).loss


def loss_of(network):
    return mp.record(network, x, t, loss=worked.LOSS).loss


# %% [markdown]
# ## Mask
#
# Put a gate $m_j$ behind the activation, 1 as a rule, 0 for a neuron that is gone:
#
# $$z^{(2)}_k = \sum_j W^{(2)}_{kj}\, m_j h_j + b^{(2)}_k .$$
#
# By hand for `h1`:


# %%
def sigmoid(z):
    return 1 / (1 + np.exp(-z))


m = np.array([0.0, 1, 1, 1, 1])
h = sigmoid(x @ W1.T + b1)
by_hand = sigmoid((m * h) @ W2.T + b2)
masked = mp.mask(net, mp.Plan({"dense1": [0]}))
print("by hand", by_hand, " mp.mask", masked(x))
assert np.allclose(masked(x), by_hand, rtol=0, atol=1e-15)
assert net(x).round(4).tolist() == [[0.1772, 0.579]]
assert by_hand.round(4).tolist() == [[0.2974, 0.4671]]

# %% [markdown]
# The outputs were $(0.1772, 0.5790)$ and become $(0.2974, 0.4671)$, both further from the target $(0, 1)$. The loss
# rises from 0.1043 to 0.1862, before rounding by 0.0818.

# %%
without = loss_of(masked)
print(f"L = {L:.4f}, without h1 {without:.4f}, change {without - L:+.4f}")
assert round(L, 4) == 0.1043
assert round(without, 4) == 0.1862
assert round(without - L, 4) == 0.0818

# %% [markdown]
# ### A trap
#
# Why not just set the neuron's weights and bias to zero? **Predict** what `h1` puts out then.

# %%
zeroed = net.copy()
zeroed.params["dense1.W"][0] = 0
zeroed.params["dense1.b"][0] = 0
h1 = mp.record(zeroed, x, t, loss=worked.LOSS)["dense1"].a[0, 0]
print(f"h1 = {h1}, loss {loss_of(zeroed):.4f}")
assert h1 == 0.5
assert round(loss_of(zeroed), 4) == 0.1275

# %% [markdown]
# One half: $\sigma(0) = \tfrac12$. Such a neuron is not gone, it shouts the same thing all the time, and the loss is
# 0.1275 instead of 0.1862. The gate belongs *behind* the activation.
#
# ## Remove
#
# Delete row 1 of $W^{(1)}$, entry 1 of $b^{(1)}$, column 1 of $W^{(2)}$: the six numbers of `h1`, as
# tutorial 4 found them. (In code they have the index 0.)

# %%
keep = [1, 2, 3, 4]
small_by_hand = sigmoid(sigmoid(x @ W1[keep].T + b1[keep]) @ W2[:, keep].T + b2)
small = mp.remove(net, mp.Plan({"dense1": [0]}))
print({name: array.shape for name, array in small.params.items()})
assert np.allclose(small_by_hand, by_hand, rtol=0, atol=1e-15)
assert np.allclose(small(x), masked(x), rtol=0, atol=1e-15)
assert sum(array.size for array in small.params.values()) == 32 - 6

# %% [markdown]
# **Masked is removed.** A term $W_{kj} \cdot 0$ adds nothing to a sum, so a sum without it is the same. That is the
# whole proof, and it holds as long as nothing between the neuron and its reader looks at all neurons together (a
# softmax does).
#
# In floats a sum in another order may differ in its last digit. In fractions nothing may:

# %%
relu_net = mp.Sequential(mp.Dense(3, 5), mp.ReLU(), mp.Dense(5, 2))
for name, values in net.params.items():
    relu_net.params[name] = (values * 8).round() / 8
exact = relu_net.astype(object)
sample = np.array([[Fraction(1), Fraction(2), Fraction(3)]])
plan = mp.Plan({"dense1": [0, 2]})
print("masked ", *map(str, mp.mask(exact, plan)(sample)[0]))
print("removed", *map(str, mp.remove(exact, plan)(sample)[0]))
assert (mp.mask(exact, plan)(sample) == mp.remove(exact, plan)(sample)).all()
assert [str(o) for o in mp.remove(exact, plan)(sample)[0]] == ["1/16", "-25/64"]

# %% [markdown]
# `==`, no tolerance. With floats the engine compares masked and removed on the spot, within a bound on what rounding
# can do, and the smaller network carries that certificate with it:

# %%
certificate = mp.remove(net, plan).certificate
print(str(certificate).split(":")[0], "on", certificate.inputs)
assert certificate.ok
assert certificate.max_difference <= certificate.bound

# %% [markdown]
# ## The document's last step
#
# 我们假设隐藏层的神经元 $h_1$ 和 $h_3$ 可以被剪枝 (4.3): it *assumes* that `h1` and `h3` may go, removes them, and says
# that the effect is then evaluated, without doing so. We do.
#
# **Predict.** The loss is 0.1043. Removing `h1` costs 0.0818, `h3` 0.0979. And both?

# %%
example = worked.example()
both = example.change(0, 2)
print(f"h1 {example.change(0):+.4f}, h3 {example.change(2):+.4f}, both {both:+.4f}")
print(f"loss {L:.4f} -> {L + both:.4f}: {(L + both) / L:.2f} times")
assert round(example.change(2), 4) == 0.0979
assert round(both, 4) == 0.2185
assert round(example.change(0) + example.change(2), 4) == 0.1798
assert round((L + both) / L, 2) == 3.09

# %% [markdown]
# 0.2185, more than $0.0818 + 0.0979 \approx 0.1798$, and the loss is more than three times what it was. Costs of single
# neurons do not add up: `h1` and `h3` both pull the outputs the right way, and each is missed more when the other has
# gone too.

# %%
small = worked.pruned()
rec = mp.record(small, x, t, loss=worked.LOSS)
kept = [1, 3, 4]
shown = {"x": x[0], "h": np.where(np.isin(range(5), kept), h[0], 0), "o": rec.output[0]}
show(network_values(shown, [W1, W2], {"h": [0, 2]}, "without h1 and h3: L = 0.3229"), "05-pruned")
assert round(rec.loss, 4) == 0.3229
assert {name: a.shape for name, a in small.params.items()}["dense1.W"] == (3, 3)

# %% [markdown]
# ## The truth, for every neuron and every pair
#
# Five neurons: five single removals, ten pairs. On so small a network nobody need guess.

# %%
single = np.array([example.change(j) for j in range(5)])
pairs = {pair: example.change(*pair) for pair in combinations(range(5), 2)}
for (i, j), change in sorted(pairs.items(), key=lambda entry: entry[1]):
    print(f"h{i + 1}, h{j + 1}: {change:+.4f}")
best = min(pairs, key=pairs.get)
assert best == (3, 4)
assert round(pairs[best], 4) == -0.0394
assert max(pairs, key=pairs.get) == (0, 2)
assert single.round(4).tolist() == [0.0818, -0.0099, 0.0979, -0.0198, -0.0304]

# %%
show(
    score_bars(
        single,
        drop=[3, 4],
        title="what each removal costs; the best pair, h4 and h5, marked",
        ylabel="loss change when removed",
    ),
    "05-truth",
)
change = {"h4 leaves": single[3], "then h5": pairs[3, 4] - single[3]}
show(running_sum({"loss": L, **change}, "h4 and h5 leave: the loss falls", "loss"), "05-best-pair")

# %% [markdown]
# Three of the five are better gone: `h2`, `h4` and `h5` have negative costs. The best pair is `h4` with `h5`; without
# them the loss is lower by 0.0394. The worst of all ten pairs is `h1` with `h3`, the one that the document removes.
#
# One sample and weights that we chose prove nothing about rules in general. But a rule that promises to find the least
# important neurons has a lot to explain here.
#
# ## Two steps or one
#
# Remove `h1`, then `h3`, or both at once: the same network. Only mind the numbers: when `h1` has gone, `h3` is
# neuron 1 (counted from 0), not 2.

# %%
once = mp.remove(net, mp.Plan({"dense1": [0, 2]}))
twice = mp.remove(mp.remove(net, mp.Plan({"dense1": [0]})), mp.Plan({"dense1": [1]}))
assert all((once.params[name] == twice.params[name]).all() for name in once.params)
print("the same", len(once.params), "arrays")

# %% [markdown]
# Exercises: [exercises/05_what_if_it_leaves.py](exercises/05_what_if_it_leaves.py).
#
# Next: [6 · scores against the truth](06_scores_against_the_truth.py): with a million neurons nobody tries all
# removals. Which score foretells them?
