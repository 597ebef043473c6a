"""What goes wrong, by name.

Every error is one line that names the offending thing, what was expected, what came and what to do. All of them are
`MinpruneError`, so that the command line can print that line and stop, and also the builtin that a caller would expect.
"""


class MinpruneError(Exception):
    """Anything that minprune refuses, with a one-line reason."""


class ShapeError(MinpruneError, ValueError):
    """An array has the wrong shape for the place it was put."""


class DtypeError(MinpruneError, TypeError):
    """An array has the wrong kind of numbers, or an op cannot compute with them."""


class DataError(MinpruneError, ValueError):
    """Data that cannot be used: empty, not finite, labels of the wrong kind or out of range."""


class FileError(MinpruneError, ValueError):
    """A file that is damaged, truncated, of another format, or unsafe to read."""


class StructureError(MinpruneError, ValueError):
    """A network that cannot be built, or a plan that was made for another network."""


class PlanError(MinpruneError, ValueError):
    """A removal that must not happen: it would empty a layer, or touch an output."""


class TrainingError(MinpruneError, ArithmeticError):
    """Training that cannot go on: the loss is no longer a number."""


class MissingPackageError(MinpruneError, ImportError):
    """A part of minprune that needs a package which is not installed; the message names the extra that brings it."""


def one_line(error: object, most: int = 300) -> str:
    r"""What an error says, in one line that a file cannot make as long as it likes.

    Examples
    --------
    >>> one_line(ValueError("two\nlines"))
    'two lines'
    >>> one_line("a" * 1000, most=8)
    'aaaaa...'
    """
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= most else f"{text[: most - 3]}..."
