"""Programs and plans: a network made ready to run, or to train.

Programs (`minprune.compile`) only run: read `folding`, `steps`, `building`, `program`, in this order. Plans go both
ways, for training and for gradient scores: `tile`, `windows`, `norming`, `passing` (layers of images, one tile of
samples at a time), `images` (all of them), `neurons` (layers behind them), `plans` (both), `planning` (which layer gets
which part). A program runs the layers of images by a plan too; `kept_weights` has those of which weights are gone.
"""
