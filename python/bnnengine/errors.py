"""Exceptions: each derives from BnnError and from the built-in that a Python user expects."""

from __future__ import annotations


class BnnError(Exception):
    """Anything that bnnengine refuses."""


class FormatError(BnnError, ValueError):
    """The bytes are not a .bnn file, or a damaged one."""


class VersionError(FormatError):
    """A .bnn file of a version that this bnnengine does not read."""


class ModelError(BnnError, ValueError):
    """A network that cannot be: shapes, dtypes or attributes that do not fit together."""


class LimitError(BnnError, MemoryError):
    """A network that needs more memory or work than the limits allow."""


class IsaError(BnnError, ValueError):
    """An instruction set that is unknown, or that this CPU lacks."""


class InputError(BnnError, ValueError):
    """An array given to predict that has the wrong shape, or cannot be written to."""


class InputTypeError(InputError, TypeError):
    """An array given to predict that has the wrong dtype."""


class ConvertError(BnnError, ValueError):
    """A foreign network that cannot be taken: which node, why, and what to do."""
