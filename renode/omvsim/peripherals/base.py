"""The register language that peripherals are written in, and what they may ask of the machine.

Registers live in one buffer of 32-bit words. The core stores and reads plain bits itself, by the
three tables `wmask`, `w1c` and `flags`; Python runs only where a register has a hook.
"""

from __future__ import annotations

import inspect
from array import array
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, cast

MODELLED, READ_HOOK, WRITE_HOOK, QUEUED = 1, 2, 4, 8  # times QUEUED: see queue_writes
WORD = 0xFFFFFFFF
SECOND = 1_000_000_000  # ns
#: what the calendar shows after power-on without a battery
COLD_RTC = datetime(2000, 1, 1)

Hook = TypeVar("Hook", bound=Callable[..., object])


class BusError(Exception):
    """A bus master reached an address where nothing answers it."""

    def __init__(self, address: int) -> None:
        super().__init__(f"bus error at 0x{address:08X}")
        self.address = address


def ticks(ns: int, hertz: int, division: int = 1) -> int:
    """How often a clock that is divided has ticked in a time."""
    return ns * hertz // (division * SECOND)


def ns_of(ticks: int, hertz: int, division: int = 1) -> int:
    """The time until it has ticked so often: the first ns at which `ticks` tells that."""
    return -(-ticks * division * SECOND // hertz)


class Handle(Protocol):
    """A callback that waits for its time."""

    def cancel(self) -> None: ...


class Machine(Protocol):
    """What a peripheral may ask of the machine around it. Times are virtual nanoseconds."""

    random: Random
    rtc_start: datetime  # the calendar at power-on; COLD_RTC: there is no battery
    deep: bool  # the core's clock stands still: Stop or Standby mode

    @property
    def now(self) -> int: ...

    def schedule(self, at: int, callback: Callable[[], object]) -> Handle: ...

    def read_memory(self, address: int, size: int) -> bytes:
        """Read as the Ethernet DMA does; raises BusError."""
        ...

    def write_memory(self, address: int, data: bytes) -> None:
        """Write as the Ethernet DMA does; raises BusError."""
        ...

    def read_bus(self, address: int, size: int, tcm: bool = False) -> int:
        """Read memory or a register, as a DMA does, or what the MDMA's bus to the core reaches, the
        TCMs alone; raises BusError."""
        ...

    def write_bus(self, address: int, value: int, size: int, tcm: bool = False) -> None:
        """Write there; raises BusError."""
        ...

    def set_line(self, irq: int, level: bool) -> None:
        """Drive input `irq` of the NVIC."""
        ...

    def log(self, message: str) -> None: ...

    def reset(self, reason: str) -> None:
        """Reset the system; `reason` is a flag of RCC_RSR, such as "SFTRSTF", or "STANDBY"."""
        ...

    def stop(self) -> None:
        """Make the engine return: there is output to collect."""
        ...


class Line:
    """An output wire; sinks hear of edges only."""

    __slots__ = ("level", "sinks")

    def __init__(self) -> None:
        self.level = False
        self.sinks: list[Callable[[bool], object]] = []

    def connect(self, sink: Callable[[bool], object]) -> None:
        self.sinks.append(sink)

    def set(self, level: bool | int) -> None:
        level = bool(level)
        if level != self.level:
            self.level = level
            for sink in self.sinks:
                sink(level)


class Field:
    """Bits of a register: access "rw", "r", "w" (reads 0), "w1c" or "rc_w0"."""

    __slots__ = ("access", "lo", "mask")

    def __init__(self, lo: int, width: int, access: str) -> None:
        self.lo, self.mask, self.access = lo, (1 << width) - 1, access


def bit(n: int, access: str = "rw") -> Field:
    return Field(n, 1, access)


def bits(lo: int, width: int, access: str = "rw") -> Field:
    return Field(lo, width, access)


class RegView:
    """A register of one peripheral: `value`, and its fields by name."""

    __slots__ = ("_i", "_mem")

    def __init__(self, mem: memoryview, i: int) -> None:
        self._mem = mem
        self._i = i

    @property
    def value(self) -> int:
        return self._mem[self._i]

    @value.setter
    def value(self, value: int) -> None:
        self._mem[self._i] = value

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> int: ...
        def __setattr__(self, name: str, value: object) -> None: ...


def _accessor(field: Field) -> property:
    lo, mask, keep = field.lo, field.mask, ~(field.mask << field.lo) & WORD

    def get(view: RegView) -> int:
        return view._mem[view._i] >> lo & mask

    def put(view: RegView, value: int) -> None:
        view._mem[view._i] = view._mem[view._i] & keep | (value & mask) << lo

    return property(get, put)


class Reg:
    """A 32-bit register. Bits outside the fields are reserved: they keep their reset value.

    Without fields every bit has the access of the register.
    """

    def __init__(self, offset: int, reset: int = 0, access: str = "rw", **fields: Field) -> None:
        self.offset, self.reset, self.fields = offset, reset, fields
        self.masks = dict.fromkeys(("rw", "r", "w", "w1c", "rc_w0"), 0)
        for field in fields.values() or (Field(0, 32, access),):
            kind = access if field.access == "rw" else field.access
            self.masks[kind] |= field.mask << field.lo
        members = {name: _accessor(field) for name, field in fields.items()}
        self.view = cast(type[RegView], type("RegView", (RegView,), {"__slots__": (), **members}))
        self.write_hook = self.read_hook = ""
        self.arguments: tuple[str, ...] = ()

    def offsets(self) -> Iterator[int]:
        yield self.offset

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def views(self, mem: memoryview) -> Any:
        """What a block with these words has by this name."""
        return self.view(mem, self.offset // 4)

    def on_write(self, hook: Hook) -> Hook:
        """The method runs after a bus write; it takes any of value, old, index (by these names)."""
        self.write_hook = hook.__name__
        self.arguments = tuple(inspect.signature(hook).parameters)[1:]
        return hook

    def on_read(self, hook: Hook) -> Hook:
        """The method returns what a bus read gives; it may take `index`."""
        self.read_hook = hook.__name__
        return hook

    def __get__(self, block: Peripheral, owner: type) -> RegView:
        """Made when it is first asked for, as few of a board's registers ever are."""
        made = vars(block)[self.name] = self.views(block.mem)
        return made  # type: ignore[no-any-return]


class RegArray(Reg):
    """`count` equal registers, `stride` bytes apart."""

    def __init__(
        self, offset: int, count: int, reset: int = 0, access: str = "rw", stride: int = 4,
        **fields: Field,
    ) -> None:  # fmt: skip
        super().__init__(offset, reset, access, **fields)
        self.count, self.stride = count, stride

    def offsets(self) -> Iterator[int]:
        return iter(range(self.offset, self.offset + self.count * self.stride, self.stride))

    def views(self, mem: memoryview) -> list[RegView]:
        """One for each."""
        return [self.view(mem, offset // 4) for offset in self.offsets()]

    if TYPE_CHECKING:

        def __get__(  # type: ignore[override]
            self, instance: object, owner: type
        ) -> list[RegView]: ...


class Hooks(dict[int, Hook]):
    """The hooks of a block by offset, each made when it is first called."""

    def __init__(self, make: Callable[[int], Hook]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, offset: int) -> Hook:
        self[offset] = made = self._make(offset)
        return made


class Part:
    """A part of a component, with a state of its own."""


class Component(Part):
    """Anything that a board description can name."""

    #: register regions by the name a Bus.BusMultiRegistration gives: (offset, size) in bytes
    regions: ClassVar[dict[str, tuple[int, int]]] = {}
    #: inputs of one local receiver (`entry#receiver@input`); 0 where there are none
    local_inputs: ClassVar[int] = 0
    #: input 0 of receiver 0: others come before it
    local_first: ClassVar[int] = 0

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.outputs: list[Line] = []  # numbered outputs

    def line(self, name: str) -> Line | None:
        """The output called `name` in the board description; "" is the default output."""
        if name.isdigit():
            return self.outputs[int(name)] if int(name) < len(self.outputs) else None
        found = getattr(self, name or "IRQ", None)
        return found if isinstance(found, Line) else None

    def has_input(self, number: int) -> bool:
        """Whether something may be wired to input `number`."""
        return False

    def on_gpio(self, number: int, level: bool) -> None:
        """Input `number` changed its level."""
        raise NotImplementedError(f"{type(self).__name__} has no inputs")

    def sink(self, number: int) -> Callable[[bool], object]:
        """What a wire to input `number` calls."""
        return partial(self.on_gpio, number)

    def attach(self, address: int, child: Component) -> None:
        """Another component registers below this one."""
        raise NotImplementedError(f"nothing can be registered at {type(self).__name__}")

    def reset(self) -> None:
        """System reset: back to reset values."""


class Peripheral(Component):
    """A block of registers. Subclasses declare Reg and RegArray attributes and set `size`."""

    size: ClassVar[int] = 0x400
    wmask: ClassVar[array[int]]
    w1c: ClassVar[array[int]]
    _modelled: ClassVar[array[int]]
    _reset: ClassVar[array[int]]
    _registers: ClassVar[dict[str, Reg]]
    _places: ClassVar[dict[int, tuple[Reg, int]]]  # register and index by offset

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        words = cls.size // 4
        cls.regions = cls.__dict__.get("regions") or cls.regions or {"": (0, cls.size)}
        cls._registers = {
            name: reg
            for base in reversed(cls.__mro__)
            for name, reg in vars(base).items()
            if isinstance(reg, Reg)
        }
        cls.wmask, cls.w1c, cls._modelled, cls._reset = (array("I", [0] * words) for _ in range(4))
        cls._places = {
            offset: (reg, index)
            for reg in cls._registers.values()
            for index, offset in enumerate(reg.offsets())
        }
        for offset, (reg, _) in cls._places.items():
            i = offset // 4
            # with `old` the base class stores, as the core would have overwritten it
            cls.wmask[i] = 0 if "old" in reg.arguments else reg.masks["rw"]
            cls.w1c[i] = reg.masks["w1c"]
            cls._reset[i] = reg.reset
            cls._modelled[i] = (
                MODELLED
                | (READ_HOOK if reg.read_hook else 0)
                | (WRITE_HOOK if reg.write_hook or reg.masks["rc_w0"] else 0)
            )

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.mem = memoryview(bytearray(self.size)).cast("I")
        self.mem[:] = memoryview(self._reset)
        self.flags = array("I", self._modelled)
        self.clocked = True
        self._absent = 0, 0
        self.queue: list[int] = []
        self.access_size = 4  # bytes of the last one to a hook
        self._writers, self._readers = Hooks(self._writer), Hooks(self._reader)

    @classmethod
    def named(cls, offset: int) -> str:
        """The register at a byte offset, with its number where there are several; "": none."""
        if offset & ~3 not in cls._places:
            return ""
        reg, number = cls._places[offset & ~3]
        return f"{reg.name.upper()}{f'[{number}]' * isinstance(reg, RegArray)}"

    def _reader(self, offset: int) -> Callable[[], int]:
        reg, index = self._places[offset]
        hook = cast(Callable[..., int], getattr(self, reg.read_hook))
        if inspect.signature(hook).parameters:
            return lambda: hook(index=index)
        return hook

    def _writer(self, offset: int) -> Callable[[int], object]:
        """What the core calls: the hook itself where it takes just the value."""
        reg, index = self._places[offset]
        hook: Callable[..., object] = (
            getattr(self, reg.write_hook) if reg.write_hook else lambda: None
        )
        rw, rc_w0, arguments = reg.masks["rw"], reg.masks["rc_w0"], reg.arguments
        if arguments == ("value",) and not rc_w0:
            return hook
        if not arguments and not rc_w0:
            return lambda value: hook()
        keeps_old = "old" in arguments
        mem, i = self.mem, offset // 4

        def write(value: int) -> None:
            old = mem[i]
            mem[i] = (old & ~rw | value & rw if keeps_old else old) & ~(rc_w0 & ~value)
            given: dict[str, Any] = {"value": value, "old": old, "index": index}
            hook(**{name: given[name] for name in arguments})

        return write

    def bus_read(self, offset: int, size: int = 4) -> int:
        """The core reads a register with a read hook; `size` in bytes."""
        self.access_size = size
        return self._readers[offset]()

    def bus_write(self, offset: int, value: int, size: int) -> None:
        """The core wrote a register with a write hook; `size` in bytes."""
        self.access_size = size
        self._writers[offset](value)

    def queue_writes(self, offset: int, count: int) -> None:
        """The core appends the next `count` values written there to `queue`, and calls no hook."""
        self.flags[offset // 4] = self._modelled[offset // 4] + count * QUEUED

    def clock(self, on: bool) -> None:
        """Its bus clock is on, or off: then no access is supported (RM0433 8.5.11), and each is
        one that nothing models."""
        if on is not self.clocked:
            self.clocked = on
            self._mark()

    def _without(self, first: int, end: int) -> None:
        """Registers from `first` to `end` that the class has, and this block has not."""
        self._absent = first // 4, end // 4
        self._mark()

    def _mark(self) -> None:
        self.flags[:] = self._modelled if self.clocked else array("I", [0] * len(self.flags))
        for i in range(*self._absent):
            self.flags[i] = 0

    def reset(self) -> None:
        self.mem[:] = memoryview(self._reset)
        self._mark()


class Memory(Component):
    """Plain memory (Renode: Memory.MappedMemory): `data` is what the bus sees."""

    def __init__(self, machine: Machine, *, size: int) -> None:
        super().__init__(machine)
        self.size = size
        self.data = memoryview(bytearray(size))
