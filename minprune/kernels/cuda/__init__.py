"""CUDA: networks on an NVIDIA GPU, by kernels written in Python with Numba (the extra `cuda`).

    tiles       a tile of a sum of products in registers, the heart of
    gemm        the matrix product: dense layers and both of their gradients
    conv        convolution, forward and both gradients, as matrix products whose factors are found by index
    csr         sparse times dense
    pool        largest entry and mean of windows, both directions
    pointwise   activations, gates, batch-norm for inference
    sums        gradients of biases
    losses      softmax and the losses
    steps       SGD, Adam, AdamW
    importance  from activations and gradients to a number for each neuron

`memory` holds the only two ways between host and device, `launching` says what a kernel is, `rules` which kernels do
what an op says. A `Program` replays a network's tape with all of these; arrays stay on the device between layers.
`calls` is the other way in: ``minprune.backend("cuda")`` takes single NumPy functions across and back.

None of this has run on a GPU yet. It is compared with NumPy in Numba's simulator, which runs the same kernels thread by
thread in Python, and is compiled and assembled for devices of compute capability 8.0 and 9.0. What the files say about
speed is what one would expect from counting, and not measured.
"""

from . import calls as calls
from .devices import require_device as require_device
from .memory import crossings as crossings
from .memory import to_device as to_device
from .memory import to_host as to_host
from .program import Program as Program
from .scoring import scores as scores
