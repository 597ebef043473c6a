"""Exact reductions: what a network can lose without any change, while its inputs stay in a box."""
