# %% [markdown]
# # 9 · Filters are neurons, too
#
# In a convolutional network the neuron is the *filter*: it computes one whole channel of the next image. To remove it
# means to remove everything that belongs to it, in every layer that has to do with it: its batch-norm entries, the
# weights that read its channel, behind a flatten a whole block of columns, and across a residual sum the channel of the
# *other* branch. Miss one, and the smaller network computes nonsense without a complaint. This is where most pruning
# code goes wrong.

# %%
from pathlib import Path

import numpy as np

import minprune as mp
from minprune import plots
from minprune.errors import PlanError
from minprune.learning_rates import Cosine
from minprune.optim import AdamW
from minprune.plots import show

digits = mp.data.digits(flat=False)
print(digits)

# %% [markdown]
# ## Who owns what
#
# Here is a small one: two stages of convolution, batch-norm, ReLU and pooling, a flatten and a dense layer. A *group*
# is a list of neurons that the same layers make. It knows what produces them, what is carried along, and what consumes
# them.

# %%
net = mp.Sequential(
    *(mp.Conv2d(1, 8, 3, padding=1), mp.BatchNorm(8), mp.ReLU(), mp.MaxPool2d(2)),
    *(mp.Conv2d(8, 16, 3, padding=1), mp.BatchNorm(16), mp.ReLU(), mp.MaxPool2d(2)),
    *(mp.Flatten(), mp.Dense(64, 10)),
    rng=0,
    dtype=np.float64,
    input_shape=(1, 8, 8),
)
for group in net.neurons.values():
    print(group)

# %% [markdown]
# **Predict.** The second stage puts out 16 channels of 2 × 2 pixels; the flatten makes them 64 numbers. Which columns
# of `dense1.W` read filter 3? (Channels come first: all pixels of channel 0, then all of channel 1 …)

# %%
owner = net.neurons["conv2"].consumed[0].owner  # of each column: the filter that it reads
print(owner)
print("filter 3:", np.flatnonzero(owner == 3))
assert np.flatnonzero(owner == 3).tolist() == [12, 13, 14, 15]

# %% [markdown]
# Columns 12 to 15: filter $j$ owns the columns $4j$ to $4j + 3$.
#
# ## Remove one, and count what is gone
#
# **Predict.** How many parameters does the network lose with filter 3 of `conv2`? Its kernel has 8 × 3 × 3 weights and
# a bias, the batch-norm a scale and a shift for it, and ten outputs read four numbers of it each.

# %%
plan = mp.Plan({"conv2": [3]})
small = mp.remove(net, plan)
for name, array in net.params.items():
    mark = "" if array.shape == small.params[name].shape else f"  →  {small.params[name].shape}"
    print(f"{name:18}{array.shape!s:18}{mark}")
lost = sum(a.size for a in net.params.values()) - sum(a.size for a in small.params.values())
print(f"{lost} parameters gone")
assert lost == 8 * 3 * 3 + 1 + 2 + 10 * 4 == 115

# %% [markdown]
# 72 + 1 + 2 + 40 = 115. And the batch-norm's running mean and variance, which are not parameters, lose an entry as
# well.
#
# ## Where is the zero?
#
# `mask` puts a gate where the channel is *read*, behind batch-norm and ReLU. It matters where: a filter whose weights
# are all zero still puts something out, since the batch-norm adds its shift $\beta$ and the pooling and the next layer
# see that. **Predict** which of these two computes the same as the removed network.

# %%
rng = np.random.default_rng(0)
for name in ("batchnorm1", "batchnorm2"):
    net.params[f"{name}.beta"] = rng.normal(size=net.params[f"{name}.beta"].shape)
x = digits.valid.x.astype(np.float64)
small = mp.remove(net, plan)
gated = mp.mask(net, plan)
zeroed = net.copy()
zeroed.params["conv2.W"][3] = 0
zeroed.params["conv2.b"][3] = 0
print(f"gate where it is read: {np.abs(gated(x) - small(x)).max():.1e}")
print(f"weights set to zero:   {np.abs(zeroed(x) - small(x)).max():.3f}")
assert np.abs(gated(x) - small(x)).max() < 1e-12
assert np.abs(zeroed(x) - small(x)).max() > 0.01

# %% [markdown]
# The gate. Setting weights to zero is another network.
#
# ## The score of a filter
#
# A dense neuron has one output per sample, a filter has one for each pixel. The gate multiplies all of them at once, so
# the derivative by the gate is the sum over places, *inside* the modulus:
#
# $$ I_j = \frac1N \sum_n \Big| \sum_p a_{njp}\, \frac{\partial \ell_n}{\partial a_{njp}} \Big| . $$
#
# The modulus of every single product, added up afterwards, is another number: what pixels contribute with opposite
# signs no longer cancels, although it does when the filter goes. We train first, and then compute it by hand.


# %%
def train(net, epochs, rate=5e-3):
    """Train in place; the best weights on the validation part stay."""
    mp.fit(net, digits, optimizer=AdamW(rate), schedule=Cosine(), epochs=epochs, batch_size=64, rng=0, progress=False)
    return net


def accuracy(net):
    """On the test part."""
    return mp.evaluate(net, digits, runtime=(), progress=False).accuracy


train(net, epochs=16)
print(f"test accuracy {accuracy(net):.3f}")
assert accuracy(net) > 0.95

channel = mp.record(net, digits.train.x, digits.train.y)["conv2"]
products = channel.a * channel.grad_a  # (N, 16, 4, 4): where the channel is read, before the pooling
by_hand = np.abs(products.sum(axis=(2, 3))).mean(axis=0)
scores = mp.score(net, digits, "taylor", progress=False)
print("inside: ", by_hand.round(4))
print("outside:", np.abs(products).sum(axis=(2, 3)).mean(axis=0).round(4))
assert np.allclose(by_hand, scores["conv2"])
assert (np.abs(products).sum(axis=(2, 3)).mean(axis=0) >= scores["conv2"]).all()

# %% [markdown]
# ## Prune half of each layer
#
# Scores beside the truth, for the 16 filters of the second stage; what goes is hatched:

# %%
plan = mp.decide(scores, mp.PerLayer(0.5))
truth = mp.score(net, digits, "leave_one_out", progress=False)
figure = plots.score_bars(scores["conv2"], plan.drop["conv2"], truth=truth["conv2"], title="conv2", xlabel="filter")
show(figure, "09-scores")

pruned = {str(repair): mp.remove(net, plan, repair=repair, data=digits) for repair in (None, "least_squares")}
tuned = train(pruned["least_squares"].copy(), epochs=4, rate=2e-3)
results = {"dense": net, "half": pruned["None"], "refitted": pruned["least_squares"], "and tuned": tuned}
for name, n in results.items():
    ev = mp.evaluate(n, digits, runtime=(), progress=False)
    print(f"{name:10} accuracy {ev.accuracy:.3f}, {ev.params:>5,} parameters, {ev.macs:>6,} multiply-accumulates")
macs = [mp.evaluate(n, digits, runtime=(), progress=False).macs for n in (net, tuned)]
assert accuracy(pruned["None"]) < accuracy(pruned["least_squares"])
assert accuracy(tuned) > accuracy(net) - 0.05
assert macs == [23_680, 7_232]

# %% [markdown]
# The multiply-accumulates fell from 23,680 to 7,232, to less than a third: a convolution between two layers that both
# lose half keeps a quarter of its weights, the first, which reads one grey image whatever happens, keeps half.
#
# ## Across a residual sum
#
# $y = x + f(x)$ adds channel 3 of one branch to channel 3 of the other. Nobody can remove the one without the other. So
# the two convolutions that end in the same sum make *one* group, named after the first:

# %%
body = mp.Sequential(mp.Conv2d(8, 6, 3, padding=1), mp.BatchNorm(6), mp.ReLU(), mp.Conv2d(6, 8, 3, padding=1))
residual = mp.Sequential(
    *(mp.Conv2d(1, 8, 3, padding=1), mp.BatchNorm(8), mp.ReLU()),
    *(mp.Residual(body), mp.ReLU(), mp.MaxPool2d(2), mp.Flatten(), mp.Dense(128, 10)),
    rng=0,
    dtype=np.float64,
    input_shape=(1, 8, 8),
)
for group in residual.neurons.values():
    print(group)
made_by = [piece.array for piece in residual.neurons["conv1"].produced]
assert made_by == ["conv1.W", "conv1.b", "conv3.W", "conv3.b"]

# %% [markdown]
# The group `conv1` is produced by `conv1` *and* `conv3`. The six filters inside the branch, `conv2`, are free: only
# `conv3` reads them. Removing one of each keeps the law:

# %%
train(residual, epochs=6)
plan = mp.Plan({"conv1": [0, 5], "conv2": [1]})
small = mp.remove(residual, plan, data=digits)
print(f"certificate: {'ok' if small.certificate.ok else 'broken'}, {small.certificate.inputs}")
print({name: array.shape for name, array in small.params.items() if name.endswith(".W")})
assert small.certificate.ok
assert small.params["conv3.W"].shape == (6, 5, 3, 3)

# %% [markdown]
# ## What cannot be cut
#
# A softmax over the channels couples them: take one away, and all the others change. No removal can compute what the
# masked network computes, so there is none: the group stays, and asking for it is refused with the reason.

# %%
coupled = mp.Sequential(mp.Dense(64, 12), mp.Softmax(), mp.Dense(12, 10), rng=0)
try:
    mp.remove(coupled, mp.Plan({"dense1": [0]}))
except PlanError as error:
    print(error)
else:
    raise AssertionError("a softmax binds its neurons")

# %% [markdown]
# ## Several inputs
#
# A branch for each input and a layer that reads them both is the same thing once more: groups in a graph. Here the
# upper and the lower half of a digit come in separately.

# %%
from minprune.layers import Join

halves = [
    mp.data.Samples({"top": part.x[:, 0, :4].reshape(-1, 32), "bottom": part.x[:, 0, 4:].reshape(-1, 32)}, part.y)
    for part in (digits.train, digits.valid, digits.test)
]
two = mp.data.Dataset(*halves)
nodes = {
    "upper": (mp.Dense(32, 24), "top"),
    "seen1": (mp.ReLU(), "upper"),
    "lower": (mp.Dense(32, 24), "bottom"),
    "seen2": (mp.ReLU(), "lower"),
    "both": (Join(), "seen1", "seen2"),
    "digit": (mp.Dense(48, 10), "both"),
}
graph = mp.Graph(nodes, inputs=("top", "bottom"), rng=0, dtype=np.float64)
mp.fit(graph, two, optimizer=AdamW(5e-3), epochs=15, rng=0, progress=False)
plan = mp.decide(mp.score(graph, two, "taylor", progress=False), mp.Global(0.5))
cut = mp.remove(graph, plan, repair="least_squares", data=two)
before, after = (mp.evaluate(n, two, runtime=(), progress=False).accuracy for n in (graph, cut))
print({group: 24 - len(gone) for group, gone in plan.drop.items()}, f"accuracy {before:.3f} → {after:.3f}")
assert len(plan) == 24
assert after > before - 0.08

# %% [markdown]
# ## A network from Keras
#
# It comes through a file: Keras writes ONNX, and `mp.load` reads it (`pip install ".[onnx]"`). So was the file in
# `models/` made, with Keras 3.15 (what its exporter notes about the machine was taken out):
#
# ```python
# model = keras.Sequential([
#     keras.Input((8, 8, 1)),
#     keras.layers.Conv2D(12, 3, padding="same", activation="relu"),
#     keras.layers.BatchNormalization(),
#     keras.layers.MaxPooling2D(2),
#     keras.layers.Conv2D(16, 3, activation="relu"),
#     keras.layers.Flatten(),
#     keras.layers.Dense(10),
# ])
# model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
# model.fit(images, labels, epochs=30, batch_size=32)
# model.export("keras_digits.onnx", format="onnx")
# ```

# %%
beside = Path(__file__).parent if "__file__" in globals() else Path(mp.__file__).parents[1] / "tutorials"
from_keras = mp.load(beside / "models" / "keras_digits.onnx")
print(from_keras.summary())
channels_last = mp.data.Dataset(
    *(mp.data.Samples(part.x.transpose(0, 2, 3, 1), part.y) for part in (digits.train, digits.valid, digits.test))
)
logits = from_keras(channels_last.test.x[:1])[0]
print("logits of the first test image:", logits.round(4))
in_keras = [-10.0643, 10.3862, -3.7589, -3.8481, 0.6156, -6.0515, -2.764, -3.4234, 1.0881, -9.3811]
assert np.allclose(logits, in_keras, atol=1e-4)

# %% [markdown]
# The logits are those that Keras gave. Two things are to be seen in the table. The batch-norm has become a
# subtraction, a product and a sum: they are carried along like one. And Keras has its channels last, (8, 8, 1), so the
# file turns the images round, and back again before `Flatten`. **Predict**: filter 0 of the second convolution makes
# one channel of 2 × 2. Which four of the 64 columns of the last layer read it?

# %%
(reader,) = (piece for piece in from_keras.neurons["/Add_2_output_0"].consumed if piece.array.endswith(".W"))
print(reader.array, reader.positions(0))
assert reader.positions(0).tolist() == [0, 16, 32, 48]

# %% [markdown]
# Not 0, 1, 2, 3, as they would be with the channels first. From here on it is a network like any other, and goes back
# into a file with the same names, inputs and outputs.

# %%
scores = mp.score(from_keras, channels_last, "taylor", progress=False)
smaller = mp.remove(from_keras, mp.decide(scores, mp.PerLayer(0.25)), repair="least_squares", data=channels_last)
before, after = (mp.evaluate(n, channels_last, runtime=()) for n in (from_keras, smaller))
print(f"accuracy {before.accuracy:.3f} → {after.accuracy:.3f}, parameters {before.params:,} → {after.params:,}")
print(smaller.certificate)
(folder := Path("minprune-tutorials")).mkdir(exist_ok=True)
mp.save(smaller, folder / "keras_smaller.onnx")
assert smaller.certificate.ok
assert round(before.accuracy, 4) == 0.9778
assert after.accuracy > 0.95
assert after.params == 1564

# %% [markdown]
# ## What you can do now
#
# Say for any network which entries of which arrays a neuron owns, and check a pruning tool: mask, remove, compare. If
# the two differ, the tool is wrong, or the network couples what it cut.
#
# **Try:** `mp.explain(net, "conv2", 3, digits)` tells one filter's score term by term; `plots.explain_figure` draws it.
#
# Next: [10_weights_instead_of_neurons.py](10_weights_instead_of_neurons.py).
