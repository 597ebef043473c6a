"""Nodes that no layer can do: kept as they stand in the file, executed as they are, and written back unchanged.

A file's nodes are not run on trust. `allowed` lists the ops that may be kept; their cost and the sizes of what they
make are known before they run (`sizes`), and are limited. `trying` runs a node on a few seeded samples and looks
whether it treats them one by one; a node that mixes samples is refused. `keeping` puts nodes together until what they
make is a value that a network can hold: floats, with the batch axis first. So a Transpose, an LSTM and a Transpose
become one `minprune.layers.opaque.Opaque`, and so do a comparison and the Where that reads it. `admitting` does all
of it again for one that comes from another kind of file.

The onnx package's own reference evaluator computes them: it has every kind of float, as certificates in float64 need,
and NumPy's speed. Ops that it computes differently from their definition are not in the list, or not with the
attributes that it ignores.
"""
