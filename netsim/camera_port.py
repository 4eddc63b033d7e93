"""A camera's cable: what goes wrong on it, what passes its end, and the story of that."""

from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address

from scapy.layers.l2 import Ether

from netsim.dissect import dissect
from netsim.events import Event, Observer
from netsim.link.capture import Capture
from netsim.link.faults import FROM_CAMERA, TO_CAMERA, Faults
from netsim.link.rules import Function, FunctionStage, RuleStage
from netsim.scenario import Fault, Rule, Scenario

MOST_EVENTS = 20_000  # that are kept


class CameraPort:
    """To the switch a Port; the camera's side are `transmit` and `take`.

    `scenario` tells about this cable alone: `[camera]`, `[[fault]]`, `[[rule]]`, seed, time.
    `events` tells the conversation so far, of a long one the last part; `on_event` is called with
    each event, `on_frame` with each frame at the camera's end and its time in ns.
    """

    def __init__(
        self,
        name: str,
        scenario: Scenario,
        names: dict[IPv4Address, str],
        lease: Callable[[bytes], IPv4Address | None],
        moved: Callable[[str, IPv4Address], None],
        capture: Capture | None,
    ) -> None:
        self.name = name
        self.events: list[Event] = []
        self.on_event: Callable[[Event], None] | None = None
        self.on_frame: Callable[[bytes, int], None] | None = None
        self.capture = capture
        self.beyond = ""  # what takes part that no scenario can tell
        self.plugged = scenario.camera.link
        self._now = 0
        self._lease, self._moved = lease, moved
        self.seen: IPv4Address | None = None  # the address that the camera has used last
        self._mac = bytes(6)  # likewise
        self._told: IPv4Address | None = None
        self.arrived: list[bytes] = []
        self._observer = Observer(names, self.tell, name)
        self._faults = Faults(scenario.seed, RuleStage)
        self.suffer(scenario.faults, scenario.rules)

    # The camera's side --------------------------------------------------------------------

    @property
    def link(self) -> bool:
        """Is the cable in, by hand and by the scenario's faults?"""
        return self.plugged and self._faults.link(self._now)

    @property
    def address(self) -> IPv4Address | None:
        """The camera's address: by its lease, else as last seen."""
        return self._lease(self._mac) or self.seen

    def transmit(self, frame: bytes, now: int) -> None:
        """The camera has sent a frame at `now`."""
        self._now = now
        if self.link:
            self._pass(frame, from_camera=True)
            self._faults.lines[FROM_CAMERA].receive(frame, now)
            self._mac = frame[6:12]
            # the source of IPv4, or the sender of ARP
            own = {b"\x08\x00": frame[26:30], b"\x08\x06": frame[28:32]}.get(frame[12:14], b"")
            if len(own) == 4 and any(own):
                self.seen = IPv4Address(own)
            if self.address and self.address != self._told:
                self._told = self.address
                self._moved(self.name, self._told)

    def take(self) -> list[bytes]:
        """Frames that have reached the camera since the last call."""
        out, self.arrived = self.arrived, []
        return out

    # The switch's side: Port --------------------------------------------------------------

    def receive(self, frame: bytes, now: int) -> None:
        """A frame has come through the switch's cable."""
        self._faults.lines[TO_CAMERA].receive(frame, now)

    def advance(self, now: int) -> list[bytes]:
        """What has passed the faults, either way."""
        self._now = now
        line = self._faults.lines[TO_CAMERA]
        for lie in self._faults.lies(now, (self._mac, self.address)):
            line.receive(lie, now)
        for frame, note in line.noted(now):
            if self.link:
                self._pass(frame, from_camera=False, note=note)
                self.arrived.append(frame)
        return self._faults.lines[FROM_CAMERA].advance(now)

    def next_deadline(self) -> int | None:
        """When a frame is due, or the cable's link changes."""
        return self._faults.next_deadline(self._now)

    # For tests and tools ------------------------------------------------------------------

    def suffer(self, faults: tuple[Fault, ...], rules: tuple[Rule, ...]) -> None:
        """More faults and rules, behind those that are there."""
        for fault in faults:
            self._faults.add(fault)
        for rule in rules:
            self._faults.add_rule(rule)

    def rule(self, function: Function, direction: str = "both") -> None:
        """Let a function from packet to packets decide on what passes the cable."""
        self.beyond = "a Python function as rule"
        for name, line in self._faults.lines.items():
            if direction in ("both", name):
                line.stages.append(FunctionStage(function))

    def hits(self, fault: Fault) -> dict[str, list[int]]:
        """The frames that a fault of the scenario has really hit: see Faults.hits."""
        return self._faults.hits(fault)

    def tell(self, event: Event) -> None:
        """A step of the conversation."""
        self.events.append(event)
        if len(self.events) > MOST_EVENTS:
            del self.events[: MOST_EVENTS // 2]
        if self.on_event:
            self.on_event(event)

    def watch(self, mishap: Callable[[Event], None]) -> None:
        """Tell of frames that the cable's faults and rules take, change or repeat."""

        def tell(from_camera: bool, frame: bytes, now: int, what: str) -> None:
            packet = dissect(Ether, frame)
            text = str(packet.payload.summary()) if packet else f"{len(frame)} bytes"
            ends = self._observer.ends_of(frame, from_camera)
            mishap(Event(now, *ends, "IPv4", f"{what}: {text.removeprefix('IP / ')}", mark=what))

        for name, line in self._faults.lines.items():
            line.on_mishap = partial(tell, name == FROM_CAMERA)

    def _pass(self, frame: bytes, from_camera: bool, note: str = "") -> None:
        self._observer.frame(frame, self._now, from_camera, note)
        if self.on_frame:
            self.on_frame(frame, self._now)
        if self.capture:
            keep = self.capture.sent if from_camera else self.capture.arrived
            keep(frame, self._now)
