# %% [markdown]
# # 2 · Forward: 3 inputs, 5 hidden neurons, 2 outputs
#
# The document's example (4.3): 输入层有 3 个神经元，隐藏层有 5 个神经元，输出层有 2 个神经元, the input is
# $x = (1, 2, 3)$ and the target $t = (0, 1)$. It gives no weights and names no activation. We chose weights with which
# the document's rule removes the two neurons that it assumes may go, `h1` and `h3` (tutorial 6), and they stay fixed in
# all that follows; the activation is the sigmoid, as in the document's own program.
#
# We compute one neuron, then all five at once, then the outputs, then the loss: four lines of code.
#
# (In the table below, a MAC is one multiplication with the addition after it. `dense1` is the engine's name for the
# first layer of weights, `sigmoid1` for the activation behind it.)

# %%
import numpy as np

import minprune as mp
from minprune import worked
from minprune.plots import network_values, running_sum, show

np.set_printoptions(precision=4, suppress=True)

net = worked.network()
x = np.array(worked.X)  # (1,3): one sample, three features
t = np.array(worked.TARGET)  # (1,2)
W1, b1, W2, b2 = net.params.values()
print(net.summary())
assert [p.shape for p in (W1, b1, W2, b2)] == [(5, 3), (5,), (2, 5), (2,)]

# %% [markdown]
# These are all 32 parameters; with $x$ and $t$ you can follow everything on paper. Row $j$ of $W^{(1)}$ and entry $j$
# of $b^{(1)}$ belong to one hidden neuron, `h1` … `h5`:
#
# | | $x_1$ | $x_2$ | $x_3$ | $b^{(1)}$ |
# |---|---|---|---|---|
# | `h1` | 0.3 | 0.3 | 0.1 | −0.1 |
# | `h2` | 0.3 | −0.1 | −0.3 | −0.2 |
# | `h3` | 0.1 | 0.2 | 0.4 | 0.1 |
# | `h4` | 0.4 | 0.3 | −0.2 | 0 |
# | `h5` | −0.4 | 0.4 | 0.3 | −0.3 |
#
# In $W^{(2)}$ the numbers of a hidden neuron stand in a *column*:
#
# | | `h1` | `h2` | `h3` | `h4` | `h5` | $b^{(2)}$ |
# |---|---|---|---|---|---|---|
# | output 1 | −0.9 | −0.1 | −0.7 | −0.6 | −0.1 | 0.2 |
# | output 2 | 0.6 | −0.4 | 0.7 | −0.6 | −0.5 | 0.1 |
#
# Names count from 1, as in the document, and Python counts from 0: `h1` is row `[0]`.

# %%
assert W1.tolist() == [[0.3, 0.3, 0.1], [0.3, -0.1, -0.3], [0.1, 0.2, 0.4], [0.4, 0.3, -0.2], [-0.4, 0.4, 0.3]]
assert b1.tolist() == [-0.1, -0.2, 0.1, 0, -0.3]
assert W2.tolist() == [[-0.9, -0.1, -0.7, -0.6, -0.1], [0.6, -0.4, 0.7, -0.6, -0.5]]
assert b2.tolist() == [0.2, 0.1]
print(sum(p.size for p in (W1, b1, W2, b2)), "parameters, x =", x[0], " t =", t[0])
assert sum(p.size for p in (W1, b1, W2, b2)) == 32

# %% [markdown]
# ## The hidden layer
#
# Row $j$ of the matrix $W$ holds the weights that neuron $j$ reads with. One neuron was a sum; five neurons are five
# sums, and a matrix product writes them down together:
#
# $$z_j = \sum_i W_{ji}\, x_i + b_j \qquad\text{for all } j: \qquad z = x W^\top + b .$$
#
# **Predict.** `h2` reads with $(0.3, -0.1, -0.3)$ and the bias $-0.2$. What is its $z$, and is its output above or
# below one half?

# %%
z1 = x @ W1.T + b1  # (1,3)(3,5) -> (1,5)
print("z1 =", z1)
assert W1[1].tolist() == [0.3, -0.1, -0.3]
assert b1[1] == -0.2
assert np.allclose(z1, [[1.1, -1.0, 1.8, 0.4, 1.0]])

# %% [markdown]
# $0.3 \cdot 1 - 0.1 \cdot 2 - 0.3 \cdot 3 - 0.2 = -1$: below one half, since $\sigma(z) < \tfrac12$ where $z < 0$.
#
# The activation acts on every number alone:
#
# $$h_j = \sigma(z_j) .$$

# %%
h = 1 / (1 + np.exp(-z1))  # (1,5)
print("h =", h)
assert h.round(4).tolist() == [[0.7503, 0.2689, 0.8581, 0.5987, 0.7311]]
assert h[0, 1] < 0.5

# %% [markdown]
# $h = (0.7503,\ 0.2689,\ 0.8581,\ 0.5987,\ 0.7311)$. The first is the neuron of tutorial 1.
#
# ## The outputs
#
# The same again; now the five $h_j$ are the inputs:
#
# $$z^{(2)}_k = \sum_j W^{(2)}_{kj}\, h_j + b^{(2)}_k, \qquad o_k = \sigma\big(z^{(2)}_k\big).$$
#
# The engine can write any of these sums out, with its numbers plugged in. `mp.trace` keeps the whole run as a list of
# steps; here is the one that makes the first output's $z$. It counts from 0, so its $z_0$ is our $z^{(2)}_1$, and it
# calls $x$ whatever a layer reads: its $x_0$ is our $h_1$. (`place` holds the line of source that computes it.)

# %%
trace = mp.trace(net, x, t, worked.LOSS)
step = next(number for number, step in enumerate(trace.steps) if step.title == "dense2[0]")
text, _, place = trace.step_text(step).rpartition("\n\n")
print(text)

# %%
z2 = h @ W2.T + b2  # (1,5)(5,2) -> (1,2)
o = 1 / (1 + np.exp(-z2))
print("z2 =", z2, " o =", o)
assert np.isclose(trace.steps[step].result, z2[0, 0])
assert z2.round(4).tolist() == [[-1.5352, 0.3185]]
assert o.round(4).tolist() == [[0.1772, 0.579]]

# %%
terms = {f"h{j + 1}": W2[0, j] * h[0, j] for j in range(5)}
show(running_sum({"b": b2[0], **terms}, "z of output 1: the bias, then what each hidden neuron adds"), "02-output")

# %% [markdown]
# Every hidden neuron pulls the first output down, `h1` most ($-0.9 \cdot 0.7503 \approx -0.6752$). The target there
# is 0, so that is as it should be.

# %%
assert W2[0, 0] == -0.9
assert round(terms["h1"], 4) == -0.6752
assert min(terms, key=terms.get) == "h1"
assert all(term < 0 for term in terms.values())

# %% [markdown]
# ## The loss
#
# The document (4.3) takes $L = \tfrac12 \sum_i (y_i - o_i)^2$, where its $y$ is the *target*. In 4.2 the same letter
# $y$ is the network's *output*. We write $t$ for the target, always:
#
# $$L = \tfrac12 \sum_k (o_k - t_k)^2 = \tfrac12 \big( (0.1772 - 0)^2 + (0.5790 - 1)^2 \big) = 0.1043 .$$
#
# **Predict.** Which of the two outputs makes the larger part of the loss?

# %%
parts = 0.5 * (o - t) ** 2
L = parts.sum()
print("parts", parts, " L =", round(L, 4))
assert parts.round(4).tolist() == [[0.0157, 0.0886]]
assert round(L, 4) == 0.1043

# %% [markdown]
# The second, 0.0886 of 0.1043: it should be 1 and is 0.5790.
#
# The document's text calls this loss 均方误差, the mean squared error, and its program uses a library's mean,
# $\frac{1}{2}\sum$ as well, *because there happen to be two outputs*. With three outputs the two would part.

# %%
by_name = {name: mp.record(net, x, t, loss=name).loss for name in ("half_squared_error", "mse")}
print({name: round(loss, 4) for name, loss in by_name.items()})
assert np.isclose(by_name["half_squared_error"], L)
assert np.isclose(by_name["mse"], L)

# %% [markdown]
# ## The whole network, and the engine's word
#
# `net(x)` runs these very lines, and the results agree to 15 digits. In the drawing a line is as thick as its weight.

# %%
show(network_values({"x": x[0], "h": h[0], "o": o[0]}, [W1, W2], title="forward: L = 0.1043"), "02-network")
assert np.allclose(net(x), o, rtol=0, atol=1e-15)
assert np.isclose(next(step.result for step in trace.steps if step.title == "loss"), L)

# %% [markdown]
# ## Several samples at once
#
# Samples are rows. Nothing in the four lines changes when there are more of them:
#
# $$Z = X W^\top + b \qquad (N,3)(3,5) \to (N,5).$$

# %%
two = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
print(net(two))
assert np.allclose(net(two)[0], o)
assert net(two).shape == (2, 2)

# %% [markdown]
# The first row is what we had. Exercises: [exercises/02_forward.py](exercises/02_forward.py). In a terminal,
# `minprune step` walks through all of this with the keys n and p.
#
# Next: [3 · backward](03_backward.py), the same way back.
