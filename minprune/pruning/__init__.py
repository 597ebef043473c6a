"""Pruning: deciding who goes, the surgery, the repair, and the loop around them."""
