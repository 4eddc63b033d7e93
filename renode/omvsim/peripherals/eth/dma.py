"""The DMA of the Ethernet MAC: descriptor rings (RM0433 58.10), transmit and receive process.

A process suspends at a descriptor that it does not own; a write of the tail pointer resumes it.
Not modelled: segmentation offload, timestamps, early interrupts.
"""

from __future__ import annotations

import struct
import zlib
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from omvsim.peripherals.base import BusError, Part
from omvsim.peripherals.eth import checksum as eth_checksum

if TYPE_CHECKING:
    from omvsim.peripherals.eth.mac import Eth

OWN, CTXT, FD, LD = 1 << 31, 1 << 30, 1 << 29, 1 << 28
IOC_TX, IOC_RX = 1 << 31, 1 << 30  # TDES2, RDES3
BUF2V, BUF1V = 1 << 25, 1 << 24
RS1V, RS0V = 1 << 26, 1 << 25
GIANT, ERROR_SUMMARY = 1 << 23, 1 << 15
JABBER = 1 << 14

#: DMACSR
TI, TPS, TBU, RI, RBU, RPS, FBE, CDE = (1 << n for n in (0, 1, 2, 6, 7, 8, 12, 13))

FIFO_BYTES = 2048  # both MTL queues (RM0433 58.2)
WHOLE_BUFFER = 0x4000
MINIMUM, JABBER_LIMIT = 60, 2048  # without FCS
OVERHEAD = 8 + 4 + 12  # preamble, FCS, interpacket gap


class Ring(Part):
    """A ring of descriptors and the one in work."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.base = self.current = 0
        self.count, self.stride = 1, 16

    def start(self, base: int) -> None:
        self.base = self.current = base

    def following(self, address: int) -> int:
        address += self.stride
        return self.base if address >= self.base + self.count * self.stride else address


class Transmitter(Part):
    """Reads frames from the transmit ring and puts them on the wire."""

    def __init__(self, eth: Eth) -> None:
        self.eth = eth
        self.ring = Ring()
        self.busy = False
        self.generation = 0  # a software reset forgets the frame on the wire

    def reset(self) -> None:
        self.ring.reset()
        self.busy = False
        self.generation += 1

    def run(self) -> None:
        """Start the next frame if the process runs, the MAC sends and a descriptor is owned."""
        eth = self.eth
        if self.busy or not eth.dmactxcr.st or not eth.maccr.te:
            return
        try:
            self._next()
        except BusError as error:
            eth.bus_error(error, transmit=True)

    def _next(self) -> None:
        eth, ring = self.eth, self.ring
        memory = eth.machine.read_memory
        frame, used, control = bytearray(), list[tuple[int, int, int]](), 0
        address = ring.current
        while True:
            buffer1, buffer2, lengths, word3 = struct.unpack("<4I", memory(address, 16))
            if not word3 & OWN:
                eth.event(TBU)
                return
            following = ring.following(address)
            if word3 & CTXT:
                eth.machine.write_memory(address + 12, struct.pack("<I", word3 & ~OWN))
                ring.current = following
            else:
                if bool(word3 & FD) == bool(used):  # a frame starts with FD, once
                    eth.event(CDE)
                    return
                control = control or word3
                for buffer, length in ((buffer1, lengths), (buffer2, lengths >> 16)):
                    if length & 0x3FFF:
                        frame += memory(buffer, length & 0x3FFF)
                used.append((address, lengths, word3))
                if word3 & LD:
                    break
            address = following
            if len(used) > ring.count:
                eth.event(CDE)
                return
        eth.dmaccatxdr.value, ring.current = used[-1][0], following
        self._send(frame, used, control)

    def _send(self, frame: bytearray, used: list[tuple[int, int, int]], control: int) -> None:
        eth, status = self.eth, 0
        padding = control >> 26 & 3  # CPC
        if padding >= 2:
            given, frame = bytes(frame[-4:]), frame[:-4]
        eth.source_address(frame, control >> 23 & 7)
        if eth.mtltxqomr.tsf:
            eth_checksum.insert(frame, control >> 16 & 3)
        if padding == 0:
            frame += bytes(max(0, MINIMUM - len(frame)))
        good = padding != 2 or given == zlib.crc32(frame).to_bytes(4, "little")
        if len(frame) > JABBER_LIMIT and not eth.maccr.jd:
            status, good = JABBER | ERROR_SUMMARY, False
        self.busy = True
        duration = (len(frame) + OVERHEAD) * 8_000 // eth.speed
        whole = bytes(frame) if good else b""
        finish = partial(self._finish, self.generation, whole, used, status)
        eth.machine.schedule(eth.machine.now + duration, finish)

    def _finish(
        self, generation: int, frame: bytes, used: list[tuple[int, int, int]], status: int
    ) -> None:
        """Close the descriptors, hand the frame over, go on with the next."""
        if generation != self.generation:
            return
        eth, self.busy = self.eth, False
        try:
            for address, _, word3 in used:
                closed = word3 & (FD | LD) | (status if word3 & LD else 0)
                eth.machine.write_memory(address + 8, struct.pack("<2I", 0, closed))
        except BusError as error:
            eth.bus_error(error, transmit=True)
            return
        if used[-1][1] & IOC_TX:
            eth.event(TI)
        if frame:
            eth.sent(frame)
        self.run()


class Receiver(Part):
    """Puts frames from the receive queue into the receive ring."""

    def __init__(self, eth: Eth) -> None:
        self.eth = eth
        self.ring = Ring()
        self.queue: deque[bytes] = deque()
        self.level = 0  # bytes in the queue

    def reset(self) -> None:
        self.ring.reset()
        self.queue.clear()
        self.level = 0

    def arrive(self, frame: bytes) -> None:
        """A frame that passed the filter. The queue overflows while nothing empties it."""
        eth = self.eth
        if not eth.dmacrxcr.sr and eth.dmacrxcr.rpf:
            return
        if self.queue and self.level + len(frame) > FIFO_BYTES:
            eth.count_overflow()
            return
        self.queue.append(frame)
        self.level += len(frame)
        self.run()

    def run(self) -> None:
        eth = self.eth
        while self.queue and eth.dmacrxcr.sr:
            try:
                if not self._store(self.queue[0]):
                    return
            except BusError as error:
                eth.bus_error(error, transmit=False)
                return
            self.level -= len(self.queue.popleft())

    def flush(self) -> None:
        self.queue.clear()
        self.level = 0

    def _store(self, frame: bytes) -> bool:
        """Write one frame; False if a descriptor is missing, and nothing was taken then."""
        eth, ring = self.eth, self.ring
        machine = eth.machine
        size = eth.dmacrxcr.rbsz & ~3 or WHOLE_BUFFER
        data = eth.with_fcs(frame)
        length, position = len(data), 0
        plan: list[tuple[int, int, list[tuple[int, bytes]]]] = []
        address = ring.current
        while position < length:
            buffer1, _, buffer2, word3 = struct.unpack("<4I", machine.read_memory(address, 16))
            if not word3 & OWN or len(plan) >= ring.count:
                eth.event(RBU)
                return False
            pieces = []
            for buffer, valid in ((buffer1, word3 & BUF1V), (buffer2, word3 & BUF2V)):
                if valid and position < length:
                    pieces.append((buffer, data[position : position + size]))
                    position += size
            plan.append((address, word3, pieces))
            address = ring.following(address)
        error = GIANT | ERROR_SUMMARY if eth.is_giant(frame) else 0
        flags = eth_checksum.status(frame) if eth.maccr.ipc else 0
        for n, (descriptor, _, pieces) in enumerate(plan):
            for buffer, piece in pieces:
                machine.write_memory(buffer, piece)
            status, extra = FD if n == 0 else 0, 0
            if n == len(plan) - 1:
                status |= LD | RS1V | error | length | eth.frame_kind(frame) << 16
                extra = flags
            # RDES0 stays: only the VLAN tags (RS0V), which are not modelled, are written there
            machine.write_memory(descriptor + 4, struct.pack("<3I", extra, 0, status))
        eth.dmaccarxdr.value, ring.current = plan[-1][0], address
        eth.received(frame, bool(plan[-1][1] & IOC_RX))
        return True
