# %% [markdown]
# # 3 · Backward, with three witnesses
#
# How does the loss answer to each of the 32 parameters, and to each hidden neuron? One walk from the loss back to the
# input answers all of it. Then we call three witnesses who know nothing of derivatives, and ask whether it is true. Two
# testify about this network. The third calculates in fractions, which no sigmoid allows: it testifies about a sister of
# this network, with ReLU.

# %%
import numpy as np

import minprune as mp
from minprune import worked
from minprune.ops import OPS
from minprune.plots import network_values, show, step_sizes
from minprune.unicode_math import to_unicode

np.set_printoptions(precision=4, suppress=True)

net = worked.network()
x, t = np.array(worked.X), np.array(worked.TARGET)
W1, b1, W2, b2 = net.params.values()
h = 1 / (1 + np.exp(-(x @ W1.T + b1)))
o = 1 / (1 + np.exp(-(h @ W2.T + b2)))

# %% [markdown]
# ## One link at a time
#
# The loss is $L = \tfrac12 \sum_k (o_k - t_k)^2$. Its slope by an output is the miss:
#
# $$\frac{\partial L}{\partial o_k} = o_k - t_k .$$
#
# **Predict** the signs of the two numbers: the first output is too high, the second too low.

# %%
by_o = o - t
print("∂L/∂o =", by_o)
assert by_o.round(4).tolist() == [[0.1772, -0.421]]

# %% [markdown]
# Through the sigmoid the slope is multiplied by $o(1 - o)$, as in tutorial 1:
#
# $$\frac{\partial L}{\partial z^{(2)}_k} = (o_k - t_k)\; o_k (1 - o_k).$$

# %%
by_z2 = by_o * o * (1 - o)
print("∂L/∂z2 =", by_z2)
assert by_z2.round(4).tolist() == [[0.0258, -0.1026]]

# %% [markdown]
# ## The sensitivity of a hidden neuron
#
# A hidden neuron reaches the loss on two ways, through both outputs. Where ways meet, slopes add up:
#
# $$s_j = \frac{\partial L}{\partial h_j} = \sum_k \frac{\partial L}{\partial z^{(2)}_k}\; W^{(2)}_{kj},
# \qquad\text{in one line: } s = g\, W^{(2)} .$$
#
# For `h1`, with one digit more than the cell above prints:
#
# $$0.02585 \cdot (-0.9) - 0.10263 \cdot 0.6 = -0.02326 - 0.06158 = -0.08484 .$$
#
# Compare the forward line $z = h W^\top + b$: forward the sum runs over the inputs, backward over the outputs, and the
# matrix is the same.
#
# The document's chain rule (4.2),
# $\frac{\partial L}{\partial o_i} = \frac{\partial L}{\partial y} \cdot\frac{\partial y}{\partial o_i}$, is this with
# one output; with several the sum over $k$ belongs to it.

# %%
s = by_z2 @ W2  # (1,2)(2,5) -> (1,5)
print("s = ∂L/∂h =", s)
assert W2[:, 0].tolist() == [-0.9, 0.6]
assert by_z2.round(5).tolist() == [[0.02585, -0.10263]]
assert (by_z2[0] * W2[:, 0]).round(5).tolist() == [-0.02326, -0.06158]
assert round(s[0, 0], 5) == -0.08484
assert s.round(4).tolist() == [[-0.0848, 0.0385, -0.0899, 0.0461, 0.0487]]

# %% [markdown]
# This is the number that the document calls 敏感度, sensitivity (4.1.2), and everything later is built on it. Two of
# the five are negative: more of `h1` or `h3` would *lower* the loss.
#
# ## What the document prints
#
# It writes (4.3)
#
# $$\frac{\partial L}{\partial h_1} = (y_1 - o_1) \cdot \frac{\partial o_1}{\partial h_1}
# + (y_2 - o_2) \cdot \frac{\partial o_2}{\partial h_1},$$
#
# with the target minus the output. The square hides the order, its derivative does not: the bracket must be
# $(o_k - y_k)$. It also prints the same right-hand sides as $\partial L/\partial o_1$ and $\partial L/\partial o_2$,
# where they do not belong. **Predict** the five printed numbers before you run the line.

# %%
printed = (t - o) * o * (1 - o) @ W2
print("as printed:", printed)
assert np.allclose(printed, -s)
assert np.allclose(printed[0], worked.printed_right_hand_sides(mp.record(net, x, t, loss=worked.LOSS)))

# %% [markdown]
# The right numbers with the wrong sign, every one. With a modulus around them nobody would notice; the score of 4.1.3,
# $1/s_i$, has no modulus.
#
# ## To the weights, and to the input
#
# A weight's slope is the slope behind it times what it multiplies. For all weights of a layer at once that is a column
# times a row:
#
# $$\frac{\partial L}{\partial W^{(2)}_{kj}} = \frac{\partial L}{\partial z^{(2)}_k}\; h_j, \qquad
# \frac{\partial L}{\partial b^{(2)}_k} = \frac{\partial L}{\partial z^{(2)}_k} .$$
#
# Then once more the same three lines, one layer further down.

# %%
by_W2 = by_z2.T @ h  # (2,1)(1,5) -> (2,5)
by_z1 = s * h * (1 - h)  # through the sigmoid
by_W1 = by_z1.T @ x  # (5,1)(1,3) -> (5,3)
by_x = by_z1 @ W1  # (1,5)(5,3) -> (1,3)
print("∂L/∂W2 =", by_W2, "∂L/∂W1 =", by_W1, "∂L/∂x =", by_x, sep="\n")
assert by_z1.round(4).tolist() == [[-0.0159, 0.0076, -0.0109, 0.0111, 0.0096]]
assert by_x.round(4).tolist() == [[-0.003, -0.0006, -0.0076]]

# %% [markdown]
# That was backpropagation, all of it: seven lines. It gives gradients. What is done with them, a step downhill, say, is
# another matter; the document's 权重是通过反向传播算法进行调整的 (2.3), "weights are adjusted by backpropagation",
# mixes the two.
#
# The engine holds one rule for each argument of each operation, and its formula beside it ($g$ is the slope that
# arrives from behind, a bar marks the slope by a letter). These are the ones that we used:

# %%
for op in OPS:
    if op.name in ("affine", "sigmoid", "half_squared_error"):
        print(f"{op.name:18} {to_unicode(op.formula)}")
        for argument, rule in op.rules.items():
            print(f"{'by ' + argument:>20}  {to_unicode(rule)}")

# %% [markdown]
# It agrees with every number above:

# %%
rec = mp.record(net, x, t, loss=worked.LOSS)
for mine, name in ((by_W1, "dense1.W"), (by_z1[0], "dense1.b"), (by_W2, "dense2.W"), (by_z2[0], "dense2.b")):
    assert np.allclose(mine, rec.grads[name], rtol=0, atol=1e-15), name
assert np.allclose(rec["dense1"].grad_a, s)
show(
    network_values({"∂x": by_x[0], "∂h": s[0], "∂o": by_o[0]}, [W1, W2], title="backward: slopes of the loss"),
    "03-backward",
)

# %% [markdown]
# ## The first witness: central difference
#
# Formulas can be wrong, and a network with a wrong gradient still learns something. So ask someone who only ever runs
# forward. Nudge one weight up and down and look:
#
# $$\frac{\partial L}{\partial w} \approx \frac{L(w + \varepsilon) - L(w - \varepsilon)}{2 \varepsilon} .$$


# %%
def loss_with(w, dtype=float):
    """The loss when the first weight of h1 is w; the forward lines of tutorial 2."""
    W = W1.astype(dtype)
    W[0, 0] = w
    hidden = 1 / (1 + np.exp(-(x @ W.T + b1)))
    out = 1 / (1 + np.exp(-(hidden @ W2.T + b2)))
    return 0.5 * ((out - t) ** 2).sum()


w, e = W1[0, 0], 1e-5
difference = (loss_with(w + e) - loss_with(w - e)) / (2 * e)
print(f"backward {by_W1[0, 0]:.10f}   central difference {difference:.10f}")
assert abs(difference - by_W1[0, 0]) < 1e-10
assert round(by_W1[0, 0], 4) == -0.0159

# %% [markdown]
# It agrees to ten digits, and would not let the document's sign pass: printed, the number is $+0.0159$.
#
# How small should $\varepsilon$ be? Too large, and the curve bends between the two points. **Predict** what happens
# when it is *too small*.
#
# ## The second witness: complex step
#
# Take $\varepsilon$ along the imaginary axis. The same forward lines run in complex numbers, and
#
# $$\frac{\partial L}{\partial w} = \frac{\mathrm{Im}\, L(w + i\varepsilon)}{\varepsilon} + O(\varepsilon^2).$$
#
# Nothing is subtracted, so nothing cancels, and $\varepsilon$ may be as small as $10^{-30}$.

# %%
complex_step = loss_with(w + 1e-30j, complex).imag / 1e-30
print(f"backward {by_W1[0, 0]:.13f}   complex step {complex_step:.13f}")
assert abs(complex_step - by_W1[0, 0]) < 1e-15

# %%
steps = 10.0 ** -np.arange(1, 16)
central = [abs((loss_with(w + e) - loss_with(w - e)) / (2 * e) - by_W1[0, 0]) for e in steps]
step = [abs(loss_with(w + 1j * e, complex).imag / e - by_W1[0, 0]) for e in steps]
show(step_sizes(steps, {"central difference": central, "complex step": step}), "03-steps")
best = int(np.argmin(central))
assert 1e-8 < steps[best] < 1e-3
assert central[-1] > 1e-5
assert max(step[7:]) < 1e-16

# %% [markdown]
# Read the picture from right to left. At first both errors fall, by the square of $\varepsilon$. Then the difference
# gets *worse*: $L(w+\varepsilon)$ and $L(w-\varepsilon)$ agree in nearly all digits, and what is left of their
# difference is rounding. The complex step stays exact.
#
# ## The third witness: exact rationals
#
# Where only $+$, $\times$ and comparisons occur, a computer need not round at all: it can calculate in fractions. The
# sigmoid is not such a function, so the sister has ReLU, $\max(0, z)$, in its hidden layer, *no* activation at the
# output, and our weights rounded to multiples of 1/8. There the loss is a parabola in every single weight, as long as
# no ReLU switches on or off, and the step is far too small for that. For a parabola the central difference *is* the
# derivative.
#
# `mp.check` asks all three, for every entry of every array.

# %%
relu_net = mp.Sequential(mp.Dense(3, 5), mp.ReLU(), mp.Dense(5, 2))
for name, values in net.params.items():
    relu_net.params[name] = (values * 8).round() / 8
report = mp.check(relu_net, x, t, worked.LOSS, progress=False)
for f in report.findings:
    print(f"{f.argument:9} {f.witness:19} {f.entries:3} entries, each within {f.allowed:g} of backward: {f.ok}")
assert report.ok
exact = [f for f in report.findings if f.witness == "exact rationals"]
assert len(exact) == 5
assert all(f.error == 0 == f.allowed for f in exact)
assert sum(f.entries for f in exact) == 32 + 3
allowed = {f.witness: f.allowed for f in report.findings}
assert allowed == {"complex step": 1e-11, "central difference": 1e-6, "exact rationals": 0}

# %% [markdown]
# All 32 parameters and 3 inputs agree with the fractions within 0. Not "close enough": equal. The other two are allowed
# $10^{-6}$ and $10^{-11}$, more than the $10^{-10}$ and $10^{-15}$ within which our single weight stayed: an allowance
# is for every entry of any network. A wrong formula or sign is off by far more.
#
# With our sigmoid network the first two agree as well; the third declines, and says why:

# %%
report = mp.check(net, x, t, worked.LOSS, progress=False)
print(*report.unasked.values())
assert report.ok
assert list(report.unasked) == ["exact rationals"]

# %% [markdown]
# Exercises: [exercises/03_backward.py](exercises/03_backward.py).
#
# Next: [4 · five neurons four arrays](04_five_neurons_four_arrays.py): what of all this belongs to *one* neuron?
