"""Universal synchronous/asynchronous receiver transmitter (RM0433 section 48), asynchronous mode.

Characters take their time on the line, both ways: kernel clock, prescaler, BRR and frame format
give the duration. Not modelled: synchronous, smartcard, IrDA and LIN modes, hardware flow control,
parity errors.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import cache, lru_cache, partial

from omvsim.peripherals.base import Handle, Line, Machine, Peripheral, Reg, bit, bits

TDR = 0x28
CR1, CR3, ISR = 0x00 // 4, 0x08 // 4, 0x1C // 4  # words of `mem`: what each character needs
FIFO_DEPTH = 16
PRESCALERS = (1, 2, 4, 6, 8, 10, 12, 16, 32, 64, 128, 256)
DATA_BITS = {0: 8, 1: 9, 2: 7, 3: 8}  # by M1:M0, parity included
STOP_HALF_BITS = (2, 1, 4, 3)  # by CR2.STOP
THRESHOLDS = (2, 4, 8, 12, 14, 16, 16, 16)  # by RXFTCFG, TXFTCFG: of 16 entries

DMAR, DMAT = 1 << 6, 1 << 7  # of CR3
ORE, IDLE, RXNE, TC, TXE = 1 << 3, 1 << 4, 1 << 5, 1 << 6, 1 << 7
RTOF, CMF, TEACK, REACK = 1 << 11, 1 << 17, 1 << 21, 1 << 22
TXFE, RXFF, RXFT, TXFT = 1 << 23, 1 << 24, 1 << 26, 1 << 27
MIRRORS = RXNE | TXE | TXFE | RXFF | RXFT | TXFT
#: ICR bits and the ISR bits that they clear (TXFECF clears TXFE's interrupt only)
CLEARABLE = 0xF | IDLE | TC | 1 << 8 | 1 << 9 | RTOF | 1 << 12 | 1 << 13 | CMF | 1 << 20
#: CR1 interrupt enable bit and the flags that it lets through
CR1_ENABLES = {
    4: IDLE, 5: RXNE | ORE, 6: TC, 7: TXE, 8: 1, 14: CMF, 26: RTOF, 30: TXFE, 31: RXFF,
}  # fmt: skip
CR1_IE = sum(1 << n for n in CR1_ENABLES)
CR3_ENABLES = {0: 0b1110, 23: TXFT, 28: RXFT}


@lru_cache(maxsize=64)  # a firmware may write anything
def _let_through(cr1: int, cr3: int) -> int:
    """The flags of ISR that the interrupt line hears."""
    enables = [(cr1, CR1_ENABLES), (cr3, CR3_ENABLES)]
    found = 0
    for value, flags in ((v >> n & 1, f) for v, table in enables for n, f in table.items()):
        found |= flags if value else 0
    return found


@cache
def _mirrors(depth: int, rxftcfg: int, txftcfg: int) -> tuple[list[int], ...]:
    """ISR's flags by the number of characters in the receive and in the transmit FIFO.

    And how many characters may leave the transmit FIFO, or join it, without a change of them.
    """
    numbers = range(FIFO_DEPTH + 1)  # a FIFO that is switched off may hold some
    rx = [RXNE if n else 0 for n in numbers]
    tx = [TXE if n < depth else 0 for n in numbers]
    for n in numbers if depth == FIFO_DEPTH else ():
        rx[n] |= (RXFF if n == depth else 0) | (RXFT if n >= THRESHOLDS[rxftcfg] else 0)
        tx[n] |= (0 if n else TXFE) | (TXFT if depth - n >= THRESHOLDS[txftcfg] else 0)
    same = [0] * (FIFO_DEPTH + 2)
    for n in range(2, FIFO_DEPTH + 1):
        same[n] = same[n - 1] + 1 if tx[n] == tx[n - 1] else 0
    more = [same.index(0, n + 1) - n - 1 if 0 < n < depth else 0 for n in numbers]
    return rx, tx, same[:-1], more


class Usart(Peripheral):
    cr1 = Reg(
        0x00, ue=bit(0), uesm=bit(1), re=bit(2), te=bit(3), interrupts=bits(4, 5), ps=bit(9),
        pce=bit(10), wake=bit(11), m0=bit(12), mme=bit(13), cmie=bit(14), over8=bit(15),
        dedt=bits(16, 5), deat=bits(21, 5), rtoie=bit(26), eobie=bit(27), m1=bit(28),
        fifoen=bit(29), txfeie=bit(30), rxffie=bit(31),
    )  # fmt: skip
    cr2 = Reg(0x04, low=bits(0, 12), stop=bits(12, 2), mode=bits(14, 9), rtoen=bit(23),
              add=bits(24, 8))  # fmt: skip
    cr3 = Reg(0x08, low=bits(0, 12), ovrdis=bit(12), mode=bits(13, 12), rxftcfg=bits(25, 3),
              rxftie=bit(28), txftcfg=bits(29, 3))  # fmt: skip
    brr = Reg(0x0C, brr=bits(0, 16))
    gtpr = Reg(0x10, psc=bits(0, 8), gt=bits(8, 8))
    rtor = Reg(0x14, rto=bits(0, 24), blen=bits(24, 8))
    rqr = Reg(0x18, access="w")
    isr = Reg(0x1C, reset=TC | TXE, access="r")
    icr = Reg(0x20, access="w")
    rdr = Reg(0x24, access="r", rdr=bits(0, 9))
    tdr = Reg(TDR, tdr=bits(0, 9))
    presc = Reg(0x2C, prescaler=bits(0, 4))

    def __init__(self, machine: Machine, *, frequency: int, lowPowerMode: bool = False) -> None:
        """`frequency` is usart_ker_ck in Hz. `lowPowerMode` (LPUART): BRR counts 1/256."""
        super().__init__(machine)
        self.IRQ = Line()
        self.ReceiveDmaRequest, self.room = Line(), Line()  # requests to a DMA
        self.frequency = frequency
        self.low_power = lowPowerMode
        #: called with characters one behind the other, and when (ns) the first's stop bit has left
        self.transmitted: Callable[[list[int], int], object] | None = None
        self._at_once = True  # called with each at that very time
        self._wire: deque[int] = deque()  # characters that the other side sends
        self._events: dict[str, Handle] = {}  # of the receiver
        self._next: Handle | None = None  # of the transmitter
        self._leaving = 0  # the character on the line
        self._ends = self._due = 0  # when it has left, and when one that changes a flag
        self._clear()

    def _clear(self) -> None:
        for event in (*self._events.values(), *([self._next] if self._next else ())):
            event.cancel()
        self._events.clear()
        self._next = None
        self._rx: deque[int] = deque()
        self._tx = self.queue
        self._tx.clear()
        self._wire.clear()
        self._format: tuple[int, ...] = (-1,)  # CR1 without interrupts, CR2, CR3, BRR, PRESC
        self._configure()

    def reset(self) -> None:
        super().reset()
        self._clear()

    def receive(self, data: bytes) -> None:
        """The other side sends; characters arrive one after the other at the baud rate."""
        self._wire.extend(data)
        self._listen()

    # time

    @property
    def baud(self) -> float:
        """Bits a second; 0 while BRR gives none (RM0433 48.5.8)."""
        brr, clock = self.brr.value, self.frequency / PRESCALERS[min(self.presc.value, 11)]
        if self.low_power:
            return 256 * clock / brr if brr >= 0x300 else 0.0
        if self.cr1.over8:
            divider = brr & 0xFFF0 | (brr & 7) << 1
            return 2 * clock / divider if divider >= 16 else 0.0
        return clock / brr if brr >= 16 else 0.0

    def _configure_time(self) -> None:
        baud = self.baud
        data = DATA_BITS[self.cr1.m1 << 1 | self.cr1.m0]
        half_bits = 2 * (1 + data) + STOP_HALF_BITS[self.cr2.stop]
        self.bit_ns = round(1e9 / baud) if baud else 0
        self.character_ns = round(half_bits * 5e8 / baud) if baud else 0
        self._mask = (1 << data - self.cr1.pce) - 1

    def _after(self, name: str, delay: int, callback: Callable[[], None]) -> None:
        if name in self._events:
            self._events[name].cancel()
        self._events[name] = self.machine.schedule(self.machine.now + delay, callback)

    def together(self, wanted: bool) -> None:
        """Let `transmitted` wait until a flag changes, too: one event for many characters."""
        if wanted is self._at_once:
            self._at_once = not wanted
            if self._next:
                self._next.cancel()
                self._progress()

    # configuration

    @cr1.on_write
    def _control(self, value: int) -> None:
        """Mostly interrupts that are enabled or not: as often as characters are printed."""
        if (value ^ self._format[0]) & ~CR1_IE:
            self._configure()
        else:
            self._enabled = _let_through(value, self.mem[CR3])
            self._flags()

    @cr2.on_write
    @cr3.on_write
    @brr.on_write
    @presc.on_write
    def _configure(self) -> None:
        cr1, cr3 = self.mem[CR1], self.mem[CR3]
        self._enabled = _let_through(cr1, cr3)
        format = cr1 & ~CR1_IE, self.cr2.value, cr3, self.brr.value, self.presc.value
        if format == self._format:
            self._flags()
            return
        self._format = format
        self._room(0)
        self._catch_up()
        self._configure_time()
        self._depth = FIFO_DEPTH if self.cr1.fifoen else 1
        self._by_dma = cr3 & (DMAR | DMAT) != 0 or self.ReceiveDmaRequest.level or self.room.level
        self._rx_flags, self._tx_flags, self._same, self._more = _mirrors(
            self._depth, cr3 >> 25 & 7, cr3 >> 29
        )
        self._receiving = cr1 & 0b101 == 0b101 and self.character_ns > 0
        self._sending = cr1 & 0b1001 == 0b1001 and self.character_ns > 0
        isr = self.isr.value & ~(TEACK | REACK)
        if not cr1 & 1:  # UE clear resets the flags and drops the data
            self._rx.clear()
            self._tx.clear()
            isr = TC
        self.isr.value = isr | (TEACK if self._sending else 0) | (REACK if self._receiving else 0)
        self._hasten()
        self._send()
        self._flags()
        self._listen()

    def _flags(self) -> None:
        """The flags that mirror the FIFOs, then the interrupt line."""
        mem, mirrors = self.mem, self._rx_flags[len(self._rx)] | self._tx_flags[len(self._tx)]
        mem[ISR] = isr = mem[ISR] & ~MIRRORS | mirrors
        heard = isr & self._enabled != 0
        if heard is not self.IRQ.level:
            self.IRQ.set(heard)
        if self._by_dma:
            self.ReceiveDmaRequest.set(isr & RXNE and mem[CR3] & DMAR)
            self.room.set(isr & TXE and mem[CR3] & DMAT and self._sending)

    @icr.on_write
    def _clear_flags(self, value: int) -> None:
        if cleared := self.isr.value & value & CLEARABLE:  # drivers clear what is not set, too
            self.isr.value ^= cleared
            self._flags()

    @rqr.on_write
    def _request(self, value: int) -> None:
        if value & 1 << 3:  # RXFRQ
            self._rx.clear()
        self._catch_up()
        if value & 1 << 4:  # TXFRQ
            self._tx.clear()
            self._room(0)
            self._hasten()
        self._flags()

    # transmitter

    @tdr.on_write
    def _write(self, value: int) -> None:
        self._catch_up()
        if len(self._tx) < self._depth:
            self._tx.append(value)
        self._hasten()
        self.mem[ISR] &= ~TC
        self._send()
        self._flags()
        if self._next and (more := self._more[len(self._tx)]):
            self._room(more)

    def _room(self, characters: int) -> None:
        """So many more change no flag, however many leave meanwhile."""
        self.queue_writes(TDR, characters)

    def _send(self) -> None:
        if not self._next and self._sending and self._tx:
            self._leaving = self._tx.pop(0) & self._mask
            self._ends = self.machine.now + self.character_ns
            self._start()

    def _start(self) -> None:
        """Come back when a character has left that changes a flag."""
        same = 0 if self._at_once else self._same[len(self._tx)]
        self._due = self._ends + same * self.character_ns
        if self._next:
            self._next.cancel()
        self._next = self.machine.schedule(self._due, self._progress)

    def _hasten(self) -> None:
        """There may be a flag to change sooner: at the earliest when the next one has left."""
        if self._next and self._due > self._ends:
            self._start()

    def _catch_up(self) -> None:
        if self._next and self.machine.now >= self._ends:
            self._next.cancel()
            self._progress()

    def _progress(self) -> None:
        """What has left by now."""
        self._room(0)
        self._next, tx, first = None, self._tx, self._ends
        late = self.machine.now - first
        left = [self._leaving] if late >= 0 else []
        if left and self._sending:  # and what was behind it
            behind, mask = late // self.character_ns, self._mask
            left += [character & mask for character in tx[:behind]]
            del tx[:behind]
            if tx:
                self._leaving = tx.pop(0) & mask
                self._ends += len(left) * self.character_ns
                self._start()
        elif not left:
            self._start()
        if not tx and not self._next:
            self.mem[ISR] |= TC
        self._flags()
        if left and self.transmitted:
            self.transmitted(left, first)

    # receiver

    def _listen(self) -> None:
        if self._receiving and self._wire and "rx" not in self._events:
            for name in ("idle", "timeout"):
                if name in self._events:
                    self._events.pop(name).cancel()
            self._after("rx", self.character_ns, self._arrived)

    def _arrived(self) -> None:
        del self._events["rx"]
        if not self._receiving or not self._wire:
            return
        character = self._wire.popleft() & self._mask
        if len(self._rx) < self._depth:
            self._rx.append(character)
        elif self.cr3.ovrdis:
            self._rx[-1] = character
        else:
            self.isr.value |= ORE
        if character == self.cr2.add:
            self.isr.value |= CMF
        self._flags()
        if self._wire:
            self._listen()
            return
        self._after("idle", self.character_ns, partial(self._raise, "idle", IDLE))
        if self.cr2.rtoen:
            delay = self.rtor.rto * self.bit_ns
            self._after("timeout", delay, partial(self._raise, "timeout", RTOF))

    def _raise(self, name: str, flag: int) -> None:
        del self._events[name]
        self.isr.value |= flag
        self._flags()

    @rdr.on_read
    def _read(self) -> int:
        if self._rx:
            self.rdr.value = self._rx.popleft()
            self._flags()
        return self.rdr.value
