"""Primes of keys that an earlier process has found: one takes up to a second."""

from __future__ import annotations

import hashlib
from pathlib import Path

from omvsim import kept
from omvsim.image import cache

FILES = 1000  # kept, those used last


class Primes:
    """In the cache, by the names that `netsim.tls.keys` has for them."""

    @staticmethod
    def _file(name: str) -> Path:
        return cache() / "primes" / f"{hashlib.sha256(name.encode()).hexdigest()}.prime"

    def get(self, name: str) -> int | None:
        """The one of this name, or whatever number is there."""
        found = kept.read(self._file(name))
        return int.from_bytes(found, "big") if found else None

    def __setitem__(self, name: str, prime: int) -> None:
        content = prime.to_bytes(-(-prime.bit_length() // 8), "big")
        kept.write(self._file(name), content, FILES)
