"""Repairs: how the layers that read dropped neurons make up for them, without training."""
