"""The address filter of the Ethernet MAC (RM0433 58.5.5, table 513)."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from omvsim.peripherals.base import Part

if TYPE_CHECKING:
    from omvsim.peripherals.eth.mac import Eth

BROADCAST = b"\xff" * 6
CONTROL = 0x8808  # EtherType of MAC control frames


class AddressFilter(Part):
    """Decides by MACPFR, the four addresses and the hash table."""

    def __init__(self, eth: Eth) -> None:
        self.eth = eth

    def address(self, n: int) -> bytes:
        """MAC address `n` in wire order."""
        high, low = self.eth.macahr[n], self.eth.macalr[n]
        return low.value.to_bytes(4, "little") + high.addrhi.to_bytes(2, "little")

    def passes(self, frame: bytes) -> bool:
        """Whether a frame goes on to the receive queue."""
        pfr, destination = self.eth.macpfr, frame[:6]
        if int.from_bytes(frame[12:14], "big") == CONTROL and pfr.pcf < 2:
            return False
        if pfr.pr:
            return True
        if pfr.saf and (self._perfect(frame[6:12], source=True) == bool(pfr.saif)):
            return False
        if destination == BROADCAST:
            return not pfr.dbf
        if destination[0] & 1:
            if pfr.pm:
                return True
            hashed, perfect = pfr.hmc, pfr.hpf or not pfr.hmc
        else:
            hashed, perfect = pfr.huc, pfr.hpf or not pfr.huc
        matches = bool(hashed and self._hashed(destination))
        matches = matches or bool(perfect and self._perfect(destination, source=False))
        return matches != bool(pfr.daif)

    def _hashed(self, address: bytes) -> bool:
        index = int(f"{zlib.crc32(address):032b}"[::-1], 2) >> 26
        return bool(self.eth.macht[index >> 5].value >> (index & 31) & 1)

    def _perfect(self, address: bytes, source: bool) -> bool:
        for n, high in enumerate(self.eth.macahr):
            enabled = high.ae and bool(high.sa) == source if n else not source
            if not enabled:
                continue
            own = self.address(n)
            ignored = high.mbc if n else 0  # MBC bit 0 ignores the lowest byte of MACAxLR
            if all(own[i] == address[i] or ignored >> i & 1 for i in range(6)):
                return True
        return False
