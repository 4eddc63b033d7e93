"""OpenSSL's random numbers, made a function of a seed.

The stdlib's `ssl` offers no way to seed OpenSSL, so a RAND_METHOD is installed by ctypes
in the very libcrypto that `_ssl` uses. It serves the generator that is active (`with
Randomness(seed):`) and the operating system's random numbers at all other times, so that
other users of `ssl` in this process keep theirs.
"""

import _ssl
import atexit
import ctypes
import os
import random
from types import TracebackType

from netsim.errors import UserError

_BYTES = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_SEED = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_ADD = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_double)
_STATUS = ctypes.CFUNCTYPE(ctypes.c_int)


class _RandMethod(ctypes.Structure):
    """struct rand_meth_st of openssl/rand.h."""

    _fields_ = (
        ("seed", _SEED),
        ("bytes", _BYTES),
        ("cleanup", ctypes.c_void_p),
        ("add", _ADD),
        ("pseudorand", _BYTES),
        ("status", _STATUS),
    )


class Randomness:
    """A seeded source; while it is active (`with`), OpenSSL draws from it."""

    def __init__(self, seed: int) -> None:
        _install()
        self._random = random.Random(f"openssl/{seed}")

    def bytes(self, count: int) -> bytes:
        """The next `count` bytes."""
        return self._random.randbytes(count)

    def __enter__(self) -> None:
        _active.append(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _active.pop()


_active: list[Randomness] = []
_installed: list[_RandMethod] = []  # OpenSSL keeps the pointer: not to be freed before the end


def _fill(buffer: int, count: int) -> int:
    data = _active[-1].bytes(count) if _active else os.urandom(count)
    ctypes.memmove(buffer, data, count)
    return 1


def _install() -> None:
    if _installed:
        return
    fill = _BYTES(_fill)
    method = _RandMethod(
        seed=_SEED(lambda _buffer, _count: 1),
        bytes=fill,
        cleanup=None,
        add=_ADD(lambda _buffer, _count, _entropy: 1),
        pseudorand=fill,
        status=_STATUS(lambda: 1),
    )
    try:
        # Symbols are looked up in what _ssl itself is linked to, whichever library that is.
        library = ctypes.CDLL(getattr(_ssl, "__file__", None))
        library.RAND_set_rand_method(ctypes.byref(method))
        # OpenSSL's own clean-up looks at the method, after Python has freed it
        atexit.register(library.RAND_set_rand_method, None)
    except (AttributeError, OSError):
        raise UserError(
            "OpenSSL cannot be seeded: this Python hides its libcrypto; use a Python whose ssl"
            " module is linked to the system's OpenSSL 3"
        ) from None
    _installed.append(method)
