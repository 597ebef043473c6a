"""Figures, one family a file; `minprune.plots` is the front door."""
