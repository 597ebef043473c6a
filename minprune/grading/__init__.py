"""Grading: the tutorials' exercises, functions to fill, are held against references on inputs that they don't show."""
