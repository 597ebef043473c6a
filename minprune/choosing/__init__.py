"""Choosing a network: what each layer can spare, many candidates measured, the front of the best."""
