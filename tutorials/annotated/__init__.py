"""What `tutorials/annotate.py` makes the annotated document of: texts in TOML, and the runs behind their numbers."""
