"""Settings for all tests; that this file stands here also lets tests in subfolders import `networks`."""

from hypothesis import settings

settings.register_profile("default", deadline=None, print_blob=True)
settings.load_profile("default")
