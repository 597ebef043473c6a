"""Kernels: compiled stand-ins for the functions that take the time. `minprune.backend("numba")` imports them.

Every one accelerates a NumPy function marked `@accelerable`, which says what is computed; `cases` has the inputs on
which the two are compared. Read from the bottom: `vectors` (the micro-kernel, in instructions), `gemm` (the loops
around it), `dense` (whom they serve, and when NumPy is better); `leaving` and `losses` serve the truth, `effects` the
other scores. Programs (`minprune.compile`) run on `strips` with a micro-kernel of their own, `walk`, or on a few
`rows`. `cpu` chooses the tile, `machine` measures the roof, `keeping` compiles and keeps.

The same for images: `filters` (two micro-kernels), `correlate` (the loops), `layout` (how images lie in memory),
`convolution` (whom they serve); `pooling` and `elementwise` are plain loops; their inputs are in `window_cases`. Plans
(`minprune.runtime.plans`) run on `tiles` of images, with `maxima` for max-pooling and `norms` for batch-norm; programs
for a few samples on the `pixels` of one, with the micro-kernels of `places`.

Where weights are gone: `spans` (a micro-kernel), `sparse_loops` and `sparse_filters` for images, `columns` for inputs
that are 0; `storing` writes it all.

Those for NVIDIA GPUs are a room of their own, `cuda`, which `minprune.backend("cuda")` imports.
"""

from . import columns as columns
from . import convolution as convolution
from . import dense as dense
from . import effects as effects
from . import elementwise as elementwise
from . import leaving as leaving
from . import losses as losses
from . import machine as machine
from . import norms as norms
from . import optimisers as optimisers
from . import pixels as pixels
from . import pooling as pooling
from . import rows as rows
from . import sparse_filters as sparse_filters
from . import strips as strips
from . import tiles as tiles
