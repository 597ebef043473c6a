# %% [markdown]
# # 4 · Five neurons, four arrays
#
# A program does not store neurons. It stores arrays: for our network $W^{(1)}$, $b^{(1)}$, $W^{(2)}$, $b^{(2)}$. Where
# in them is a neuron? Who mixes the two up, scores arrays and calls them neurons. The document's program does.

# %%
import numpy as np

import minprune as mp
from minprune import worked
from minprune.plots import array_map, show

np.set_printoptions(precision=4, suppress=True)

net = worked.network()
x, t = np.array(worked.X), np.array(worked.TARGET)
W1, b1, W2, b2 = net.params.values()
rec = mp.record(net, x, t, loss=worked.LOSS)
print(*(f"{name} {array.shape}" for name, array in net.params.items()), sep="\n")
assert sum(array.size for array in net.params.values()) == 32

# %% [markdown]
# ## One neuron in the arrays
#
# The lines $z_j = \sum_i W^{(1)}_{ji} x_i + b^{(1)}_j$ and $z^{(2)}_k = \sum_j W^{(2)}_{kj} h_j + b^{(2)}_k$ say it:
# wherever the index $j$ stands. That is row $j$ of $W^{(1)}$, entry $j$ of $b^{(1)}$, and **column** $j$ of $W^{(2)}$.
#
# **Predict.** How many of the 32 numbers belong to one hidden neuron? And how many to none?

# %%
j = 2  # h3: counting begins at 0 in code, at 1 in names
outlined = {
    "W1": np.arange(5)[:, None] == j + np.zeros((5, 3)),
    "b1": np.arange(5) == j,
    "W2": np.arange(5) == j + np.zeros((2, 5)),
}
show(array_map({"W1": W1, "b1": b1, "W2": W2, "b2": b2}, outlined, "what belongs to h3"), "04-one-neuron")
own = sum(int(mask.sum()) for mask in outlined.values())
print(f"one neuron: {own} numbers, five: {5 * own}, nobody's: {32 - 5 * own}")
assert own == 6
assert 32 - 5 * own == 2

# %% [markdown]
# Six: three weights in, a bias, two weights out. Five times six is 30; the two numbers in $b^{(2)}$ belong to the
# outputs.
#
# The engine finds this for any network by walking along it once. A group is what the same layer makes:

# %%
group = net.neurons["dense1"]
print(group)
assert [(s.array, s.axis) for s in group.produced] == [("dense1.W", 0), ("dense1.b", 0)]
assert [(s.array, s.axis) for s in group.consumed] == [("dense2.W", 1)]

# %% [markdown]
# *Produced* on axis 0 (rows) of `dense1.W` and `dense1.b`, *consumed* on axis 1 (columns) of `dense2.W`. With
# convolutions, batch-norm and shortcuts more arrays join in: tutorial 9.
#
# ## Four arrays of a different kind
#
# When a network runs, each neuron has four numbers per sample; nearly every score is a function of them:
#
# | | forward | backward |
# |---|---|---|
# | before the activation | $z_j$ | $\partial L/\partial z_j$ |
# | after it | $a_j$ (the document's $o_j$, here $h_j$) | $\partial L/\partial a_j = s_j$ |
#
# The activation links each row to the next: $a = \sigma(z)$ downwards on the left,
# $\partial L/\partial z = \partial L/\partial a \cdot a(1-a)$ upwards on the right.

# %%
hidden = rec["dense1"]
for name in ("z", "a", "grad_a", "grad_z"):
    print(f"{name:7}", getattr(hidden, name)[0])
assert hidden.a.round(4).tolist() == [[0.7503, 0.2689, 0.8581, 0.5987, 0.7311]]
assert hidden.grad_a.round(4).tolist() == [[-0.0848, 0.0385, -0.0899, 0.0461, 0.0487]]
assert np.allclose(hidden.grad_z, hidden.grad_a * hidden.a * (1 - hidden.a))

# %% [markdown]
# A neuron is something that you can hold: its four numbers, and its six parameters.

# %%
h3 = hidden[2]
print("z", h3.z, "a", h3.a, "∂L/∂a", h3.grad_a, "∂L/∂z", h3.grad_z)
print("reads with", h3.w_in, "bias", h3.b, "is read with", h3.w_out)
assert np.allclose(h3.w_in, [0.1, 0.2, 0.4])
assert np.allclose(h3.w_out, [-0.7, 0.7])
assert np.isclose(h3.b, 0.1)

# %% [markdown]
# ## What the document's program scores
#
# It says 计算模型损失函数对每个神经元的梯度, "the gradient of the loss by every neuron" (5.3.6), and then takes
#
# ```python
# gradients = model.optimizer.get_gradients(model.compiled_loss, model.trainable_variables)
# importance_scores = [1 / np.abs(grad.numpy()).mean() for grad in gradients]
# ```
#
# The `trainable_variables` are the parameter arrays. **Predict.** How many scores come out, for five hidden neurons?

# %%
per_array = {name: 1 / np.abs(gradient).mean() for name, gradient in rec.grads.items()}
per_neuron = 1 / np.abs(hidden.grad_a[0])
print("per array: ", {name: round(float(value), 2) for name, value in per_array.items()})
print("per neuron:", per_neuron.round(2))
assert len(per_array) == 4
assert [round(float(v), 2) for v in per_array.values()] == [45.41, 90.81, 24.27, 15.57]
assert per_neuron.round(2).tolist() == [11.79, 26.0, 11.12, 21.71, 20.52]
assert round(1 / np.abs(hidden.grad_z[0].round(4)).mean(), 2) == 90.74

# %% [markdown]
# Four: 45.41, 90.81, 24.27 and 15.57. They are scores of $W^{(1)}$, $b^{(1)}$, $W^{(2)}$, $b^{(2)}$, and "the two
# lowest" would be $b^{(2)}$ and $W^{(2)}$: whole arrays, among them the outputs' biases. The five numbers that were
# meant are those of the second line, one for each neuron. (From the four digits of $\partial L/\partial z$ printed
# above you get 90.74 for $b^{(1)}$: whoever divides by small numbers needs more digits.)
#
# ## Who is h2? A matter of names
#
# Let `h2` and `h4` change places: swap rows of $W^{(1)}$ and $b^{(1)}$, and columns of $W^{(2)}$. **Predict.** What
# happens to the output, and to the scores?

# %%
order = [0, 3, 2, 1, 4]
swapped = net.copy()
swapped.params["dense1.W"] = W1[order]
swapped.params["dense1.b"] = b1[order]
swapped.params["dense2.W"] = W2[:, order]
again = mp.record(swapped, x, t, loss=worked.LOSS)
print("output", again.output, " s", again["dense1"].grad_a[0])
assert np.allclose(again.output, rec.output, rtol=0, atol=1e-15)
assert np.allclose(again["dense1"].grad_a, hidden.grad_a[:, order])

# %% [markdown]
# The output stays, up to the order in which five numbers are added; the scores change places with their neurons. A
# score for which this does not hold is not a score of neurons. The project's tests check it for each of them.
#
# Exercises: [exercises/04_five_neurons_four_arrays.py](exercises/04_five_neurons_four_arrays.py).
#
# Next: [5 · what if it leaves](05_what_if_it_leaves.py): now we know which numbers to cut out.
