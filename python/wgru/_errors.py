"""The exceptions of wgru. Each has a ``code`` that stays the same across versions."""

from errno import ENOENT


class WgruError(Exception):
    """Base class of all errors of wgru."""

    code = "internal"

    def __str__(self):
        return str(self.args[0]) if self.args else self.code


class ShapeError(WgruError, ValueError):
    """An array has the wrong number of axes, or a wrong extent."""

    code = "shape"


class ArgumentError(WgruError, ValueError):
    """An argument has a value that is not accepted."""

    code = "value"


class DTypeError(WgruError, TypeError):
    """An array has the wrong element type."""

    code = "dtype"


class FileError(WgruError, OSError):
    """A file cannot be read or written."""

    code = "io"


class MissingFileError(FileError, FileNotFoundError):
    """A file does not exist."""


class FormatError(WgruError, ValueError):
    """A file is damaged, or its content does not fit its format."""

    code = "format"


class UnsupportedError(WgruError, NotImplementedError):
    """A model needs something that wgru does not support."""

    code = "unsupported"


class ConversionError(UnsupportedError):
    """A converted module does not compute the same numbers as the original module."""


class LimitError(WgruError, RuntimeError):
    """The work exceeds a limit of the device, or of an ONNX run."""

    code = "limit"


class OutOfMemoryError(WgruError, MemoryError):
    """The device is out of memory."""

    code = "out-of-memory"


class DeviceError(WgruError, RuntimeError):
    """There is no such device, or it failed. The code distinguishes the two."""

    code = "gpu"


class BusyError(WgruError, RuntimeError):
    """A stream is in use by another thread."""

    code = "busy"


class DivergedError(WgruError, ArithmeticError):
    """A loss, gradient or weight became NaN or infinite during training."""

    code = "diverged"


_CLASSES = {
    kind.code: kind
    for kind in (
        ShapeError,
        ArgumentError,
        DTypeError,
        FileError,
        FormatError,
        UnsupportedError,
        LimitError,
        OutOfMemoryError,
        DeviceError,
        BusyError,
        DivergedError,
    )
}
_CLASSES.update(dict.fromkeys(("no-adapter", "device-lost", "device-mix"), DeviceError))


def make(code, text, errno=None):
    """Returns the exception for a code. ``errno`` is the number of an error of the operating system."""
    kind = _CLASSES.get(code, WgruError)
    if kind is FileError and errno == ENOENT:
        kind = MissingFileError
    error = kind(text)
    error.code = code
    if errno is not None:
        error.errno = errno
    return error
