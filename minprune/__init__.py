"""minprune: importance-scored neuron pruning that you can read, check and use."""

__version__ = "0.1.0"
