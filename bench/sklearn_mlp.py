"""Is training and predicting faster than scikit-learn's MLPClassifier?

    MINPRUNE_DATA=… python bench/sklearn_mlp.py [--samples 50000] [--rounds 5] [--quick] [--json DIR]

784-300-100-10 with ReLU on MNIST, float32, one thread. An epoch of Adam, batches of 128 (`partial_fit`, which is one
pass over the data; `mp.fit` with either backend), then the classes of 1, 256 and 10,000 images by the same weights
(`predict`; the network in NumPy; a program). scikit-learn is told that its data are finite, so that it need not look
(`assume_finite`). All take turns; seconds are those of the shortest blocks, ratios the median over the turns with the
quartiles. Compiling is outside the timer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from side_by_side import Row, cannot, compared, keep, mnist, peers_table, start

import minprune as mp
from minprune.models import mlp
from minprune.progress import bar

BATCH, PREDICTED = 128, (1, 256, 10_000)
PEER = "scikit-learn"


def classifier(x: Any, y: Any) -> Any:
    """scikit-learn's network, after a first pass over a few images: its arrays are there then."""
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier((300, 100), solver="adam", alpha=0.0, batch_size=BATCH, random_state=0)
    return model.partial_fit(x[:256], y[:256], classes=np.arange(10))


def epoch(x: Any, y: Any, backend: str) -> Callable[[], None]:
    """One pass over the data by `mp.fit`; a few images have gone before."""
    net = mlp(784, (300, 100), 10)

    def call(count: int | None = None) -> None:
        with mp.backend(backend):
            mp.fit(net, (x[:count], y[:count]), epochs=1, batch_size=BATCH, progress=False)

    call(256)
    return call


def training(model: Any, x: Any, y: Any, rounds: int) -> Row:
    """An epoch of each."""
    calls = {"ours": epoch(x, y, "numba"), "NumPy": epoch(x, y, "numpy"), PEER: lambda: model.partial_fit(x, y)}
    return {"what": f"an epoch of {len(x):,} images"} | compared(calls, rounds, block=0)


def predicting(model: Any, net: Any, x: Any, rounds: int) -> Row:
    """The classes of one batch."""
    program, out = mp.compile(net, batch_size=len(x)), np.empty((len(x), 10), np.float32)
    calls = {
        "ours": lambda: program(x, out=out).argmax(axis=1),
        "NumPy": lambda: net(x).argmax(axis=1),
        PEER: lambda: model.predict(x),
    }
    first, *others = (call() for call in calls.values())
    assert all((other == first).mean() > 0.999 for other in others), "they compute different networks"
    return {"what": f"the classes of {len(x):,}"} | compared(calls, rounds)


def main() -> None:
    """Measure, print a table, keep the numbers."""
    options = start(__doc__, samples=50_000, rounds=5)
    try:
        import sklearn
        from sklearn.neural_network import MLPClassifier  # noqa: F401
    except ImportError:
        cannot('scikit-learn is not installed; pip install "minprune[sklearn]"')
    data = mnist()
    count = min(options.samples, 6_000) if options.quick else options.samples
    x, y = (np.ascontiguousarray(part[:count]) for part in (data.train.x, data.train.y))
    images = np.concatenate([data.valid.x, data.test.x])[: max(PREDICTED)]
    rows = []
    with sklearn.config_context(assume_finite=True), bar("timing", 1 + len(PREDICTED), show=True) as advance:
        model = classifier(x, y)
        rows.append(training(model, x, y, 3 if options.quick else options.rounds))
        advance(text=rows[-1]["what"])
        net = mp.from_sklearn(model).astype(np.float32)
        for size in PREDICTED:
            rows.append(predicting(model, net, images[:size], 5 if options.quick else 21))
            advance(text=rows[-1]["what"])
    print(peers_table(rows))
    keep(options, "sklearn_mlp", rows)


if __name__ == "__main__":
    main()
