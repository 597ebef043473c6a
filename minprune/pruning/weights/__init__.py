"""Pruning single weights: the plan, the strategies, the loop."""
