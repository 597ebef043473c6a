"""What `minprune.data` is made of: containers, a reader per file format, and the digits that ship with it."""
