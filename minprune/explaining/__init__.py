"""Explaining a neuron: where its score comes from, what it answers to, why it stays or goes."""
