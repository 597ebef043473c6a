# %% [markdown]
# # 1 · One neuron, on paper
#
# Everything in this course happens to one small network. Here is one of its neurons, the first hidden one, `h1`. You
# need a pencil and to know what a derivative is. What each letter means stands in [notation.md](notation.md).
#
# How to read: first the formula in symbols, then the same with numbers, then one line of code. Where it says
# **predict**, write your answer down before you read on. Every number in the text is checked by the code beside it:
# an `assert` that is wrong stops the program. The code keeps all digits and the text prints four, so on paper your last
# digit may differ. (`show` draws a picture; how is not the point here.)

# %%
import numpy as np

from minprune import worked
from minprune.plots import running_sum, show, with_tangents

# %% [markdown]
# ## What a neuron computes
#
# The source document says (2.2): 神经元…通过加权求和和偏置（Bias）来计算输出: a neuron computes its output from a
# weighted sum and a bias, and (4.1.1) writes
#
# $$o_i = f\Big(\sum_j w_{ij}\, x_j + b_i\Big).$$
#
# We give the value inside the brackets a name of its own, $z$, and call the output $a$:
#
# $$z = \sum_i w_i x_i + b, \qquad a = \sigma(z) = \frac{1}{1 + e^{-z}}.$$
#
# Our neuron reads $x = (1, 2, 3)$ with the weights $w = (0.3, 0.3, 0.1)$ and the bias $b = -0.1$.
#
# **Predict.** What is $z$? It is four numbers added up.

# %%
x = np.array(worked.X[0])
w = np.array(worked.WEIGHTS["dense1.W"][0])
b = worked.WEIGHTS["dense1.b"][0]

z = w @ x + b
print("z = " + " + ".join(f"{wi} · {xi:g}" for wi, xi in zip(w, x, strict=True)) + f" + ({b}) = {z:.1f}")
assert np.allclose(w * x, [0.3, 0.6, 0.3])
assert np.isclose(z, 1.1)

# %% [markdown]
# $z = 0.3 + 0.6 + 0.3 - 0.1 = 1.1$. In the picture every term starts where the one before it ended.

# %%
show(running_sum({"w₁x₁": 0.3, "w₂x₂": 0.6, "w₃x₃": 0.3, "b": -0.1}, "z = 1.1: three products and the bias"), "01-sum")

# %% [markdown]
# ## The activation
#
# The sigmoid squashes any $z$ to a number between 0 and 1: $\sigma(0) = \tfrac12$, and
#
# $$a = \sigma(1.1) = \frac{1}{1 + e^{-1.1}} \approx \frac{1}{1 + 0.3329} \approx 0.7503.$$


# %%
def sigmoid(z):
    return 1 / (1 + np.exp(-z))


a = sigmoid(z)
print(f"a = 1 / (1 + {np.exp(-z):.4f}) = {a:.4f}")
assert round(np.exp(-z), 4) == 0.3329
assert round(a, 4) == 0.7503
assert sigmoid(0) == 0.5

# %% [markdown]
# ## How steep is it here?
#
# The sigmoid's derivative needs nothing that we have not computed already:
#
# $$\frac{da}{dz} = \sigma(z)\,\big(1 - \sigma(z)\big) = a\,(1 - a) \approx 0.7503 \cdot 0.2497 \approx 0.1874.$$
#
# (From $a = (1 + e^{-z})^{-1}$ follows $da/dz = e^{-z}(1 + e^{-z})^{-2}$, and $e^{-z}/(1 + e^{-z}) = 1 - a$.)
#
# In the picture the straight line has this slope and touches the curve at our $z$.

# %%
slope = a * (1 - a)
print(f"da/dz = {a:.4f} · {1 - a:.4f} = {slope:.4f}")
assert round(1 - a, 4) == 0.2497
assert round(slope, 4) == 0.1874
assert round(slope, 5) == 0.18737

tangent = {"a + 0.1874 (z − 1.1)": lambda at: a + slope * (at - z)}
show(with_tangents(sigmoid, (-4, 5), z, tangent, xlabel="z", ylabel="a = σ(z)"), "01-sigmoid")

# %% [markdown]
# ## From the output back to the weights
#
# $z$ depends on $w_i$ with the slope $x_i$, on $b$ with the slope 1, and on $x_i$ with the slope $w_i$. The chain rule
# multiplies slopes along the way:
#
# $$\frac{\partial a}{\partial w_i} = a(1-a)\, x_i, \qquad \frac{\partial a}{\partial b} = a(1-a), \qquad
# \frac{\partial a}{\partial x_i} = a(1-a)\, w_i .$$
#
# **Predict.** Which of the three weights moves the output most, and which input?

# %%
by_w = slope * x
by_x = slope * w
print("∂a/∂w =", by_w.round(4))
print("∂a/∂x =", by_x.round(4))
assert by_w.round(4).tolist() == [0.1874, 0.3747, 0.5621]
assert by_x.round(4).tolist() == [0.0562, 0.0562, 0.0187]

# %% [markdown]
# The weight by the largest input: $w_3$, with $0.18737 \cdot 3 = 0.5621$. And the input with the largest weight: $x_1$
# and $x_2$ alike, with $0.18737 \cdot 0.3 = 0.0562$. Weights and inputs change places in the formula, and so do their
# derivatives.
#
# A derivative is a promise about small changes. Raise $w_3$ by 0.01: the promise is
# $0.5621 \cdot 0.01 = 0.0056$ more output. **Predict** whether the true change is a little more or a little less, from
# the picture above.

# %%
nudged = w + np.array([0, 0, 0.01])
change = sigmoid(nudged @ x + b) - a
print(f"promised {by_w[2] * 0.01:.6f}, came {change:.6f}")
assert round(by_w[2] * 0.01, 6) == 0.005621
assert round(by_w[2] * 0.01, 4) == 0.0056
assert round(change, 6) == 0.005579
assert change < by_w[2] * 0.01

# %% [markdown]
# A little less: 0.005579 for the promised 0.005621, since the curve gets flatter.
#
# ## A loss, and who should change
#
# Say this neuron stands alone and ought to put out $t = 1$. (In tutorial 3 it has no target, two outputs read it, and
# its slope is another.) The loss $L = \tfrac12 (a - t)^2$ measures the miss, and its slope by $a$ is the miss itself:
#
# $$\frac{\partial L}{\partial a} = a - t = 0.7503 - 1 = -0.2497.$$
#
# The minus sign says: more output, less loss. This derivative is what the document calls the sensitivity $s_i$ (4.1.2).
# One more link in the chain gives the slope by the weights,
#
# $$\frac{\partial L}{\partial w_i} = (a - t)\; a(1-a)\; x_i .$$

# %%
t = 1.0
loss = 0.5 * (a - t) ** 2
s = a - t
by_weights = s * slope * x
print(f"L = {loss:.4f},  s = {s:.4f},  ∂L/∂w = {by_weights.round(4)}")
assert round(loss, 4) == 0.0312
assert round(s, 4) == -0.2497
assert by_weights.round(4).tolist() == [-0.0468, -0.0936, -0.1404]

# %% [markdown]
# The gradient points uphill. *Gradient descent* is something else: an optimiser, which takes a step downhill,
# $w \leftarrow w - \eta\, \partial L/\partial w$. The document (3.2.1) offers 梯度下降法, gradient descent, as a way to
# measure what a neuron contributes. It measures nothing; the gradient does.
#
# **Predict.** With $\eta = 0.5$: does the loss fall below 0.03?

# %%
eta = 0.5
stepped = w - eta * by_weights
after = 0.5 * (sigmoid(stepped @ x + b) - t) ** 2
print(f"L: {loss:.4f} → {after:.4f}")
assert round(after, 4) == 0.0187
assert after < 0.03

# %% [markdown]
# It falls from 0.0312 to 0.0187.
#
# ## And if the neuron were not there?
#
# Whoever reads $a$ would then read 0. The change of a loss is, to first order, slope times step, and the step from $a$
# to 0 is $-a$:
#
# $$L(0) - L(a) \approx s \cdot (0 - a) = -a\,s \approx 0.7503 \cdot 0.2497 \approx 0.1874 .$$
#
# (That this is the slope $a(1 - a)$ from above is an accident of $t = 1$: there $-s = 1 - a$.)
#
# **Predict.** Is the truth less than this promise, about as much, or more?

# %%
promised = -a * s
truth = 0.5 * (0 - t) ** 2 - loss
print(f"promised {promised:.4f}, true {truth:.4f}, with the curvature {promised + 0.5 * a**2:.4f}")
assert round(promised, 4) == 0.1874
assert np.isclose(promised, slope)
assert round(truth, 4) == 0.4688
assert truth > 2 * promised
assert np.isclose(promised + 0.5 * a**2, truth)

# %% [markdown]
# More than twice as much: $\tfrac12 (0 - 1)^2 - 0.0312 = 0.4688$. The step from 0.7503 to 0 is not small, and the loss
# is curved. A parabola has the same second derivative everywhere, here 1, so its second-order term
# $\tfrac12 \cdot 1 \cdot a^2$ is the whole rest: $0.1874 + \tfrac12 \cdot 0.7503^2 \approx 0.4688$. Tutorial 6 is about
# this.

# %%
show(
    with_tangents(
        lambda at: 0.5 * (at - t) ** 2,
        (-0.15, 1.4),
        a,
        {"first order": lambda at: loss + s * (at - a)},
        marks={"neuron gone": 0.0},
        xlabel="output a",
        ylabel="loss L",
    ),
    "01-loss",
)

# %% [markdown]
# ## What you can do now
#
# Compute a neuron's output, its slopes, and what a missing neuron costs, on paper. The exercises are in
# [exercises/01_one_neuron.py](exercises/01_one_neuron.py): `minprune grade tutorials/exercises/01_one_neuron.py`.
#
# Next: [2 · forward](02_forward.py), five such neurons and the two that read them.
