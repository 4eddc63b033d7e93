"""The network of a scenario: one port for the camera, everything else behind it."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

from netsim import dhcp, dns
from netsim.capture import Capture
from netsim.endpoints import Endpoints
from netsim.errors import UserError
from netsim.ethernet import Interface
from netsim.events import Event, Observer
from netsim.faults import FROM_CAMERA, TO_CAMERA, Faults
from netsim.host import Host, Ping
from netsim.peers import Peer
from netsim.port import Port, earliest
from netsim.rules import Function, FunctionStage, RuleStage
from netsim.scenario import Client, Scenario, Server
from netsim.switch import LONGEST, Cable, Switch

CAMERA, GATEWAY = "camera", "gateway"


class Network:
    """A Port for the camera.

    `events` tells the conversation so far, `peers` the outcome of every connection,
    `hosts` are the hosts by name. `on_event` is called with each event.
    """

    def __init__(self, scenario: Scenario, capture: Path | None = None) -> None:
        options = scenario.network
        cable = Cable(options.rate_mbit, options.latency_us * 1000)
        # Twice the way across an idle switch, for the largest frame.
        hold = 4 * (cable.duration(LONGEST) + cable.latency)
        self.scenario = scenario
        self.events: list[Event] = []
        self.on_event: Callable[[Event], None] | None = None
        self.on_frame: Callable[[bytes, int], None] | None = None  # at the camera's end
        self._now = 0
        self._link = scenario.camera.link
        self._address: IPv4Address | None = None  # that the camera has used last
        self._mac = bytes(6)  # likewise
        self._to_camera: list[bytes] = []
        self._switch = Switch(cable)
        self._switch.attach(CAMERA)
        self._ports: dict[str, Port] = {}
        self.hosts = self._build_hosts()
        self._dhcp = dhcp.DhcpServer(scenario.dhcp, options.subnet)
        servers = {server.name: server.address for server in scenario.servers}
        self._dns = dns.DnsServer(servers | scenario.dns.zone)
        self._start_gateway()
        self._names = {host.address: host.name for host in self.hosts.values()}
        self._observer = Observer(self._names, self._tell)
        self._faults = Faults(scenario.seed, RuleStage)
        for fault in scenario.faults:
            self._faults.add(fault)
        for rule in scenario.rules:
            self._faults.add_rule(rule)
        self._capture = Capture(capture, scenario.time, hold) if capture else None
        try:
            self._endpoints = Endpoints(
                scenario,
                self.hosts,
                tell=self._tell_http,
                secrets=self._secrets,
                camera_address=lambda: self.camera_address,
            )
        except UserError:
            if self._capture:
                self._capture.close()
            raise

    # Port -------------------------------------------------------------------------------

    def receive(self, frame: bytes, now: int) -> None:
        """A frame that the camera has sent at `now`."""
        self._run(now)
        if not self.link:
            return
        self._observer.frame(frame, self._now, from_camera=True)
        if self.on_frame:
            self.on_frame(frame, self._now)
        if self._capture:
            self._capture.sent(frame, self._now)
        self._faults.lines[FROM_CAMERA].receive(frame, self._now)
        self._mac = frame[6:12]
        if frame[12:14] == b"\x08\x00" and len(frame) >= 34 and any(frame[26:30]):
            self._address = IPv4Address(frame[26:30])

    def advance(self, now: int) -> list[bytes]:
        """Run the network up to `now`; frames that have reached the camera."""
        self._run(now)
        out, self._to_camera = self._to_camera, []
        return out

    def next_deadline(self) -> int | None:
        """When `advance` has something to do."""
        return self._now if self._to_camera else self._next_step()

    # For tests and tools ----------------------------------------------------------------

    @property
    def link(self) -> bool:
        """Is the camera's cable in, by hand and by the scenario's faults?"""
        return self._link and self._faults.link(self._now)

    def rule(self, function: Function, direction: str = "both") -> None:
        """Let a function from packet to packets decide on what passes the camera's cable."""
        for name, line in self._faults.lines.items():
            if direction in ("both", name):
                line.stages.append(FunctionStage(function))

    @property
    def peers(self) -> list[Peer]:
        """Every connection of the scenario's servers and clients, in order."""
        return self._endpoints.peers

    @property
    def camera_address(self) -> IPv4Address | None:
        """The camera's address: by its lease, else as last seen."""
        return self._dhcp.address_of(self._mac) or self._address

    def ping(
        self, address: IPv4Address | str, now: int, host: str = GATEWAY, size: int = 32
    ) -> Ping:
        """Let `host` send an echo request; `reply_ns` of the result tells the answer."""
        return self.hosts[host].ping(IPv4Address(address), max(now, self._now), size)

    def extend(self, scenario: Scenario) -> None:
        """Go on in a world with more certificates, or with more servers, clients, faults and
        rules at their lists' ends."""
        for fault in scenario.faults[len(self.scenario.faults) :]:
            self._faults.add(fault)
        for rule in scenario.rules[len(self.scenario.rules) :]:
            self._faults.add_rule(rule)
        peers: list[Server | Client] = [*scenario.servers[len(self.scenario.servers) :]]
        peers += scenario.clients[len(self.scenario.clients) :]
        self.scenario = self._endpoints.authority.scenario = scenario
        for peer in peers:
            self._add(peer)

    def _add(self, peer: Server | Client) -> None:
        host = self._host_of(peer)
        if isinstance(peer, Server):
            self._dns.add(peer.name, peer.address)
            self._endpoints.serve(host, peer)
        else:
            host.now = max(host.now, self._now)
            start = self._now // 1_000_000 + peer.start_ms  # virtual time, not since now
            self._endpoints.visit(host, replace(peer, start_ms=start))

    def _host_of(self, peer: Server | Client) -> Host:
        """The host with the peer's address; a new one if there is none yet."""
        host = next((h for h in self.hosts.values() if h.address == peer.address), None)
        return host or self._new_host(peer.name, peer.address)

    def attach(self, name: str, address: IPv4Address) -> Host:
        """Another host, which DNS knows; what runs on it is the caller's business."""
        self._dns.add(name, address)
        return self._new_host(name, address)

    def _new_host(self, name: str, address: IPv4Address) -> Host:
        name = f"{name} at {address}" if name in self.hosts else name
        host = Host(name, address, self.scenario.seed)
        host.now = self._now
        self._names[address] = name
        if address in self.scenario.network.subnet:
            self._plug_in([host])
        else:
            self._gateway.attach(host)
        self.hosts[name] = host
        return host

    def set_link(self, up: bool, now: int) -> None:
        """Plug the camera's cable in or out; without it frames are lost both ways."""
        self._run(now)
        self._link = up

    def close(self) -> None:
        """Finish the capture."""
        if self._capture:
            self._capture.close()
        self._endpoints.close()

    def __enter__(self) -> "Network":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------

    def _build_hosts(self) -> dict[str, Host]:
        """Hosts by name; those outside the camera's network stand behind the gateway."""
        scenario, options = self.scenario, self.scenario.network
        by_address = {options.gateway: Host(GATEWAY, options.gateway, scenario.seed)}
        by_name = {GATEWAY: by_address[options.gateway]}
        peers: list[Server | Client] = [*scenario.servers, *scenario.clients]
        for peer in peers:
            if peer.address not in by_address:
                by_address[peer.address] = Host(peer.name, peer.address, scenario.seed)
            by_name[peer.name] = by_address[peer.address]
        near = [h for h in by_address.values() if h.address in options.subnet]
        far = [h for h in by_address.values() if h.address not in options.subnet]
        for host in near:
            self._plug_in([host, *far] if host.name == GATEWAY else [host])
        return by_name

    def _plug_in(self, hosts: list[Host]) -> None:
        """A network card for the first host, with the others behind it."""
        first, options = hosts[0], self.scenario.network
        mac = b"\x02\x00" + first.address.packed
        interface = Interface(mac, options.subnet, options.gateway, hosts)
        if first.name == GATEWAY:
            self._gateway = interface
        self.plug(first.name, interface)

    def plug(self, name: str, port: Port) -> None:
        """Put a port on the switch, beside the camera's."""
        self._switch.attach(name)
        self._ports[name] = port

    def _start_gateway(self) -> None:
        gateway, scenario = self.hosts[GATEWAY], self.scenario
        if scenario.dhcp.enabled:
            gateway.udp(dhcp.SERVER_PORT, self._dhcp)
        if scenario.dns.enabled:
            gateway.udp(dns.PORT, self._dns)

    def _next_step(self) -> int | None:
        ports = (port.next_deadline() for port in self._ports.values())
        faults = self._faults.next_deadline(self._now)
        return earliest(self._switch.next_deadline(), faults, *ports)

    def _run(self, now: int) -> None:
        """Do everything in its order and at its own time, up to `now`."""
        while (due := self._next_step()) is not None and due <= now:
            self._now = max(self._now, due)
            self._step(self._now)
        self._now = max(self._now, now)
        if self._capture:
            self._capture.advance(self._now)

    def _step(self, now: int) -> None:
        to_camera = self._faults.lines[TO_CAMERA]
        for frame in self._faults.lines[FROM_CAMERA].advance(now):
            self._switch.send(CAMERA, frame, now)
        for name, frame in self._switch.due(now):
            if name == CAMERA:
                to_camera.receive(frame, now)
            else:
                self._ports[name].receive(frame, now)
        for name, port in self._ports.items():
            for frame in port.advance(now):
                self._switch.send(name, frame, now)
        for frame in self._faults.lies(now, (self._mac, self.camera_address)):
            to_camera.receive(frame, now)
        for frame in to_camera.advance(now):
            self._arrive(frame, now)

    def _arrive(self, frame: bytes, now: int) -> None:
        """A frame has reached the camera's end of the cable."""
        if self.link:
            self._observer.frame(frame, now, from_camera=False)
            if self.on_frame:
                self.on_frame(frame, now)
            if self._capture:
                self._capture.arrived(frame, now)
            self._to_camera.append(frame)

    def _secrets(self, key_log: bytes) -> None:
        if self._capture:
            self._capture.secrets(key_log)

    def _tell(self, event: Event) -> None:
        self.events.append(event)
        if self.on_event:
            self.on_event(event)

    def _tell_http(self, host: Host, outwards: bool, text: str) -> None:
        ends = (host.name, CAMERA) if outwards else (CAMERA, host.name)
        self._tell(Event(host.now, *ends, "HTTP", text))
