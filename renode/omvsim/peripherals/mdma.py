"""Master DMA (RM0433 section 14), by request of software or of other blocks.

A transfer is done as soon as it is asked for, in items of the source's and the target's width; of a
large one time goes on between parts. Not modelled: bursts, bufferable writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from omvsim.peripherals.base import (
    BusError,
    Handle,
    Line,
    Machine,
    Peripheral,
    Reg,
    RegArray,
    bit,
    bits,
)

CHANNELS, STRIDE = 16, 0x40
REQUESTS = 32  # inputs, which TSEL chooses from (table 98)
TEIF, CTCIF, BRTIF, BTIF, TCIF = (1 << n for n in range(5))
TED = 1 << 7  # of ESR: it was a read
BUFFER, BLOCK, REPEATED, LIST = range(4)  # TCR.TRGM: what a request moves
#: registers that a node of a linked list holds, from LAR's address on (14.5.13)
NODE = ("tcr", "bndtr", "sar", "dar", "brur", "lar", "tbr", "", "mar", "mdr")
KEPT = 1 << 12  # blocks after which a list that has no end gives way
MOST = 1 << 18  # bytes at once, and ns that they take where there are more


class Mdma(Peripheral):
    size = 0x1000
    gisr0 = Reg(0x00, access="r")
    isr = RegArray(0x40, CHANNELS, stride=STRIDE, access="r")
    ifcr = RegArray(0x44, CHANNELS, stride=STRIDE, access="w")
    esr = RegArray(0x48, CHANNELS, stride=STRIDE, access="r")
    cr = RegArray(
        0x4C, CHANNELS, stride=STRIDE, en=bit(0), interrupts=bits(1, 5), pl=bits(6, 2), bex=bit(12),
        hex=bit(13), wex=bit(14), swrq=bit(16, "w"),
    )  # fmt: skip
    tcr = RegArray(
        0x50, CHANNELS, stride=STRIDE, sinc=bits(0, 2), dinc=bits(2, 2), ssize=bits(4, 2),
        dsize=bits(6, 2), sincos=bits(8, 2), dincos=bits(10, 2), bursts=bits(12, 6),
        tlen=bits(18, 7), pke=bit(25), pam=bits(26, 2), trgm=bits(28, 2), swrm=bit(30), bwm=bit(31),
    )  # fmt: skip
    bndtr = RegArray(0x54, CHANNELS, stride=STRIDE, bndt=bits(0, 17), brsum=bit(18), brdum=bit(19),
                     brc=bits(20, 12))  # fmt: skip
    sar = RegArray(0x58, CHANNELS, stride=STRIDE)
    dar = RegArray(0x5C, CHANNELS, stride=STRIDE)
    brur = RegArray(0x60, CHANNELS, stride=STRIDE, suv=bits(0, 16), duv=bits(16, 16))
    lar = RegArray(0x64, CHANNELS, stride=STRIDE)
    tbr = RegArray(0x68, CHANNELS, stride=STRIDE, tsel=bits(0, 6), sbus=bit(16), dbus=bit(17))
    mar = RegArray(0x70, CHANNELS, stride=STRIDE)
    mdr = RegArray(0x74, CHANNELS, stride=STRIDE)

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.IRQ = Line()
        self._block = [0] * CHANNELS  # bytes of a whole one
        self._asked = [False] * REQUESTS
        self._busy = [False] * CHANNELS
        self._later: list[Handle | None] = [None] * CHANNELS

    def reset(self) -> None:
        super().reset()
        for waiting in filter(None, self._later):
            waiting.cancel()
        self._later = [None] * CHANNELS
        self._update()

    @cr.on_write
    def _control(self, index: int, value: int, old: int) -> None:
        cr, tcr = self.cr[index], self.tcr[index]
        if cr.en and not old & 1:
            self._block[index] = self.bndtr[index].bndt
        if cr.en and value >> 16 & 1 and tcr.swrm and not self._later[index]:
            self._answer(index)
        self._look(index)
        self._update()

    def has_input(self, number: int) -> bool:
        return 0 <= number < REQUESTS

    def on_gpio(self, number: int, level: bool) -> None:
        """A request, which stands until what the mask address names has been written."""
        self._asked[number] = level
        for index in range(CHANNELS):
            self._look(index)
        self._update()

    def _look(self, index: int) -> None:
        """Answer its request while it stands."""
        cr, tbr = self.cr[index], self.tbr[index]
        for _ in range(KEPT):
            asked = self._asked[tbr.tsel] if tbr.tsel < REQUESTS else False
            if not (cr.en and asked) or self.tcr[index].swrm:
                return
            if self._busy[index] or self._later[index]:
                return
            self._answer(index)

    def _answer(self, index: int) -> None:
        self._busy[index] = True
        try:
            if not self._serve(index):
                at = self.machine.now + MOST
                self._later[index] = self.machine.schedule(at, partial(self._go_on, index))
            elif (mask := self.mar[index].value) and not self.tcr[index].swrm:
                self.machine.write_bus(mask, self.mdr[index].value, 4)
        except BusError:
            self.cr[index].en = 0
            self.isr[index].value |= TEIF
        finally:
            self._busy[index] = False

    def _go_on(self, index: int) -> None:
        """With the rest of what a request moves: registers tell where it was."""
        self._later[index] = None
        if self.cr[index].en:
            self._answer(index)
            self._look(index)
        self._update()

    def _serve(self, index: int) -> bool:
        """What one request moves: a buffer, a block, all blocks, or the whole list (14.3.6). False:
        there is more of it."""
        moved = 0
        for _ in range(KEPT):
            how = self.tcr[index].trgm
            blocks = self.bndtr[index].brc
            for length in self._buffers(index):
                self.isr[index].value |= TCIF
                moved += length
                if moved >= MOST:
                    return False
                if how == BUFFER and self.bndtr[index].bndt:
                    return True
            self.isr[index].value |= BTIF
            if blocks:
                self._next_block(index)
                if how in (BUFFER, BLOCK):
                    return True
                continue
            self.isr[index].value |= BRTIF
            if not self.lar[index].value:
                self.isr[index].value |= CTCIF
                self.cr[index].en = 0
                return True
            self._next_node(index)
            if how != LIST:
                return True
        return True

    def _next_block(self, index: int) -> None:
        bndtr, brur = self.bndtr[index], self.brur[index]
        for address, down, step in (
            (self.sar[index], bndtr.brsum, brur.suv), (self.dar[index], bndtr.brdum, brur.duv),
        ):  # fmt: skip
            address.value = (address.value + (-step if down else step)) & 0xFFFFFFFF
        bndtr.brc -= 1
        bndtr.bndt = self._block[index]

    def _next_node(self, index: int) -> None:
        node = self.machine.read_memory(self.lar[index].value, 4 * len(NODE))
        for n, name in enumerate(NODE):
            if name:
                word = int.from_bytes(node[4 * n : 4 * n + 4], "little")
                getattr(self, name)[index].value = word
        self._block[index] = self.bndtr[index].bndt

    def _buffers(self, index: int) -> Iterator[int]:
        """Move the rest of a block, TLEN + 1 bytes at a time; so many bytes."""
        tcr, bndtr, tbr = self.tcr[index], self.bndtr[index], self.tbr[index]
        source, target = self.sar[index], self.dar[index]
        while bndtr.bndt:
            length = min(tcr.tlen + 1, bndtr.bndt)
            width, room = 1 << tcr.ssize, 1 << tcr.dsize
            items = []
            for _ in range(-(-length // width)):
                items.append(self._access(index, source.value, width, tbr.sbus, None))
                source.value = _stepped(source.value, tcr.sinc, tcr.sincos)
            for item in _packed(items, width, room, tcr.pke, tcr.pam):
                self._access(index, target.value, room, tbr.dbus, self._swapped(index, item))
                target.value = _stepped(target.value, tcr.dinc, tcr.dincos)
            bndtr.bndt -= length
            yield length

    def _access(self, index: int, address: int, size: int, tcm: int, data: bytes | None) -> bytes:
        """Read, or write `data`; the AHB bus alone reaches the TCMs (SBUS, DBUS)."""
        try:
            if data is None:
                return self.machine.read_bus(address, size, bool(tcm)).to_bytes(size, "little")
            self.machine.write_bus(address, int.from_bytes(data, "little"), size, bool(tcm))
        except BusError:
            self.esr[index].value = address & 0x7F | (0 if data is not None else TED)
            raise
        return b""

    def _swapped(self, index: int, item: bytes) -> bytes:
        """BEX, HEX and WEX exchange bytes, half words and words of what is written."""
        cr = self.cr[index]
        for size, on in ((1, cr.bex), (2, cr.hex), (4, cr.wex)):
            if on and len(item) >= 2 * size:
                pairs = range(0, len(item), 2 * size)
                item = b"".join(item[n + size : n + 2 * size] + item[n : n + size] for n in pairs)
        return item

    @ifcr.on_write
    def _clear(self, index: int, value: int) -> None:
        self.isr[index].value &= ~value
        if value & TEIF:
            self.esr[index].value = 0
        self._update()

    def _update(self) -> None:
        """TEIE to TCIE are one bit above their flags."""
        active = 0
        for n, (isr, cr) in enumerate(zip(self.isr, self.cr, strict=True)):
            active |= bool(isr.value & cr.interrupts) << n
        self.gisr0.value = active
        self.IRQ.set(active)


def _stepped(address: int, increment: int, offset: int) -> int:
    """By SINC or DINC, and SINCOS or DINCOS."""
    step = {0b10: 1, 0b11: -1}.get(increment, 0) << offset
    return (address + step) & 0xFFFFFFFF


def _packed(items: list[bytes], width: int, room: int, pack: int, alignment: int) -> list[bytes]:
    """Items of the target's width: all bytes in a row (PKE), or each one cut or filled (PAM)."""
    if pack or width == room:
        whole = b"".join(items)
        return [whole[n : n + room].ljust(room, b"\0") for n in range(0, len(whole), room)]
    if alignment == 0b10:  # left
        return [item[-room:].rjust(room, b"\0") for item in items]
    fill = [b"\xff" if alignment == 1 and item[-1] & 0x80 else b"\0" for item in items]
    return [item[:room].ljust(room, f) for item, f in zip(items, fill, strict=True)]
