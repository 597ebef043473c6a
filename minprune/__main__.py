"""Lets ``python -m minprune`` do what ``minprune`` does."""

import sys

from .cli import main

sys.exit(main())
