"""The network of a scenario: a port for each camera, everything else behind them."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

from netsim.camera_port import CameraPort
from netsim.endpoints import Endpoints
from netsim.errors import UserError
from netsim.events import Event
from netsim.link.capture import CAPTURE_LIMIT, Capture
from netsim.link.ethernet import Interface
from netsim.link.port import Port
from netsim.link.switch import LONGEST, SHORTEST, Cable, Switch
from netsim.scenario import Client, Scenario, Server
from netsim.services import dhcp, dns
from netsim.services.peers import Peer
from netsim.stack.application import Address
from netsim.stack.deadlines import earliest
from netsim.stack.host import Host, Ping
from netsim.stack.rto import MS

CAMERA, GATEWAY = "camera", "gateway"


MOST_DATA = 65507  # bytes of an echo request: a datagram of 65535 without its headers


class Network:
    """A Port for the scenario's camera; `join` makes ports for more.

    `cameras` are the cameras' cables, `camera` is the first, `peers` tells the outcome of every
    connection, `hosts` are the hosts by name.
    """

    def __init__(
        self, scenario: Scenario, capture: Path | None = None, capture_limit: int = CAPTURE_LIMIT
    ) -> None:
        options = scenario.network
        cable = Cable(options.rate_mbit, options.latency_us * 1000)
        # Twice the way across an idle switch, for the largest frame.
        self._hold = 4 * (cable.duration(LONGEST) + cable.latency)
        #: what a camera sends reaches no other one sooner (ns)
        self.lookahead = 2 * (cable.duration(SHORTEST) + cable.latency)
        self.scenario = scenario
        self.beyond = ""  # what takes part that no scenario can tell
        self._now = 0
        self._switch = Switch(cable)
        self.cameras: list[CameraPort] = []
        self._ports: dict[str, Port] = {}
        self._names: dict[IPv4Address, str] = {}
        self._dhcp = dhcp.DhcpServer(scenario.dhcp, scenario.network.subnet)
        zone: dict[str, tuple[IPv4Address | str, ...]] = {}
        for server in scenario.servers:  # of one name, several have several addresses
            others = zone.get(server.name, ())
            zone[server.name] = others if server.address in others else (*others, server.address)
        self._dns = dns.DnsServer(zone | scenario.dns.zone)
        self.camera = self.join(CAMERA, scenario, capture, capture_limit)
        self.hosts = self._build_hosts()
        self._start_gateway()
        self._names |= {host.address: host.name for host in self.hosts.values()}
        try:
            self._endpoints = Endpoints(
                scenario,
                self.hosts,
                tell=self._tell_http,
                secrets=self._secrets,
                camera_address=self._address_of,
            )
        except UserError:
            for captured in self._captures():
                captured.close()
            raise

    # Port -------------------------------------------------------------------------------

    def receive(self, frame: bytes, now: int, camera: CameraPort | None = None) -> None:
        """A frame that a camera has sent at `now`."""
        self.run(now)
        (camera or self.camera).transmit(frame, self._now)

    def advance(self, now: int) -> list[bytes]:
        """Run the network up to `now`; frames that have reached the first camera."""
        self.run(now)
        return self.camera.take()

    def next_deadline(self) -> int | None:
        """When `advance` has something to do."""
        return self._now if any(c.arrived for c in self.cameras) else self._next_step()

    # For tests and tools ----------------------------------------------------------------

    @property
    def peers(self) -> list[Peer]:
        """Every connection of the scenario's servers and clients, in order."""
        return self._endpoints.peers

    def join(
        self, name: str, scenario: Scenario, capture: Path | None = None,
        capture_limit: int = CAPTURE_LIMIT,
    ) -> CameraPort:  # fmt: skip
        """A cable for another camera, which DNS knows by `name` as soon as it has an address."""
        if self.cameras:
            self.beyond = f"another camera, {name!r}"
        made = Capture(capture, scenario.time, self._hold, capture_limit) if capture else None
        lease = self._dhcp.address_of
        port = CameraPort(name, scenario, self._names, lease, self._call, made)
        self.cameras.append(port)
        self._plug(name, port)
        return port

    def ping(
        self, address: IPv4Address | str, now: int, host: str = GATEWAY, size: int = 32
    ) -> Ping:
        """Let `host` send an echo request; `reply_ns` of the result tells the answer."""
        if not 0 <= size <= MOST_DATA:
            raise UserError(f"a ping of {size} bytes: write 0 to {MOST_DATA}")
        return self.hosts[host].ping(IPv4Address(address), max(now, self._now), size)

    def extend(self, scenario: Scenario) -> None:
        """Go on in a world with more certificates, or with more servers and clients at their
        lists' ends."""
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
        self.beyond = f"a program's own host, {name!r}"
        self._dns.add(name, address)
        return self._new_host(name, address)

    def _address_of(self, camera: str) -> IPv4Address | None:
        return next((c.address for c in self.cameras if c.name == camera), None)

    def _call(self, name: str, address: IPv4Address) -> None:
        self._dns.add(name, address)
        self._names[address] = name

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

    def leave(self, port: CameraPort) -> None:
        """A camera goes; the network goes with the last one."""
        self.cameras.remove(port)
        self._switch.detach(port.name)
        del self._ports[port.name]
        if port.capture:
            port.capture.close()
        if not self.cameras:
            self._endpoints.close()

    def set_link(self, up: bool, now: int, camera: CameraPort | None = None) -> None:
        """Plug a camera's cable in or out; without it frames are lost both ways."""
        self.run(now)
        (camera or self.camera).plugged = up

    def close(self) -> None:
        """Finish the captures."""
        for capture in self._captures():
            capture.close()
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
        far = options.round_trip_ms * MS // 2
        interface = Interface(mac, options.subnet, options.gateway, hosts, far)
        if first.name == GATEWAY:
            self._gateway = interface
        self._plug(first.name, interface)

    def plug(self, name: str, port: Port) -> None:
        """Put a port on the switch."""
        self.beyond = f"a program's own port, {name!r}"
        self._plug(name, port)

    def _plug(self, name: str, port: Port) -> None:
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
        return earliest(self._switch.next_deadline(), *ports)

    def run(self, now: int) -> None:
        """Do everything in its order and at its own time, up to `now`."""
        while (due := self._next_step()) is not None and due <= now:
            self._now = max(self._now, due)
            self._step(self._now)
        self._now = max(self._now, now)
        for capture in self._captures():
            capture.advance(self._now)

    def _step(self, now: int) -> None:
        for name, frame in self._switch.due(now):
            if name in self._ports:  # else its station has left
                self._ports[name].receive(frame, now)
        for name, port in self._ports.items():
            for frame in port.advance(now):
                self._switch.send(name, frame, now)

    def _captures(self) -> Iterator[Capture]:
        return (port.capture for port in self.cameras if port.capture)

    def _secrets(self, key_log: bytes) -> None:
        for capture in self._captures():
            capture.secrets(key_log)

    def _tell_http(self, host: Host, peer: Address, outwards: bool, text: str) -> None:
        camera = next((c for c in self.cameras if c.address == peer[0]), self.camera)
        ends = (host.name, camera.name) if outwards else (camera.name, host.name)
        camera.tell(Event(host.now, *ends, "HTTP", text))
