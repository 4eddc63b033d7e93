"""The scenario's servers and clients, put to work on their hosts."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import cached_property, partial
from ipaddress import IPv4Address

from netsim.errors import UserError
from netsim.scenario import Client, Page, Scenario, Server
from netsim.services.ntp import NtpServer
from netsim.services.peers import Caller, HttpServer, Impatient, Peer, Talker
from netsim.services.starttls import StartTls
from netsim.stack.application import Address, Application
from netsim.stack.host import Host
from netsim.stack.rto import MS, SECOND
from netsim.stack.tcp import MSS
from netsim.tls import dtls12, dtls12_misdeeds, dtls12_services, tls12
from netsim.tls.certificate_request import Request
from netsim.tls.certificates import Authority
from netsim.tls.dtls import Dtls, DtlsClient, DtlsServer
from netsim.tls.openssl import Tls, TlsLayer

MOST_PEERS = 10_000  # that are kept
_DTLS_PATIENCE = 60 * SECOND  # for a handshake that has begun


class Endpoints:
    """Starts what the scenario lists.

    `tell(host, peer, outwards, text)` hears of HTTP messages, `secrets` of TLS keys,
    `camera_address(name)` gives the address for clients to call.
    """

    def __init__(
        self,
        scenario: Scenario,
        hosts: Mapping[str, Host],
        *,
        tell: Callable[[Host, Address, bool, str], None],
        secrets: Callable[[bytes], None],
        camera_address: Callable[[str], IPv4Address | None],
    ) -> None:
        self.peers: list[Peer] = []  # of many the last
        self._scenario, self._tell, self._secrets = scenario, tell, secrets
        self.camera_address = camera_address
        self.authority = Authority(scenario)
        try:
            self._start(hosts)
        except UserError:
            self.close()
            raise

    @cached_property
    def tls(self) -> Tls:
        """What makes TLS peers; it costs files on disk, so only if there are any."""
        return Tls(self.authority, self._scenario.seed, self._secrets)

    @cached_property
    def dtls(self) -> Dtls:
        """What makes DTLS peers."""
        return Dtls(self.authority, self._scenario.time, self._secrets)

    def factory(self, peer: Server | Client) -> tls12.Factory:
        """What makes the sessions of a misbehaving TLS peer."""
        return tls12.Factory(
            "server" if isinstance(peer, Server) else "client",
            self._scenario.seed,
            peer.name,
            self.authority[peer.certificate] if peer.certificate else None,
            peer.misbehave or "no",
            self._secrets,
            self._request(peer),
        )

    def _request(self, peer: Server | Client) -> Request | None:
        if not isinstance(peer, Server) or not peer.request_kinds:
            return None
        named = [self.authority[name].x509 for name in peer.request_authorities]
        return Request(peer.request_kinds, named)

    def setting(self, peer: Server | Client) -> dtls12.Setting:
        """What the sessions of a misbehaving DTLS peer share."""
        return dtls12.Setting(
            role="server" if isinstance(peer, Server) else "client",
            seed=self._scenario.seed,
            name=peer.name,
            certificate=self.authority[peer.certificate] if peer.certificate else None,
            misbehaviour=dtls12_misdeeds.MISBEHAVIOURS[peer.misbehave](),
            secrets=self._secrets,
        )

    def close(self) -> None:
        """Remove what OpenSSL needed on disk."""
        if "tls" in self.__dict__:
            self.tls.key_log.close()

    def _start(self, hosts: Mapping[str, Host]) -> None:
        for server in self._scenario.servers:
            self.serve(hosts[server.name], server)
        for client in self._scenario.clients:
            self.visit(hosts[client.name], client)

    def visit(self, host: Host, client: Client) -> None:
        """Let a client call the camera."""
        if client.count:
            Visits(self, host, client)

    def note(self, record: Peer) -> None:
        """Keep what is known of a connection."""
        self.peers.append(record)
        if len(self.peers) > MOST_PEERS:
            del self.peers[: MOST_PEERS // 2]

    def serve(self, host: Host, server: Server) -> None:
        """Put a server to work; raises UserError if its certificate or ciphers are no good."""
        port, mss = server.listening_port, server.mss or MSS

        def accept() -> tuple[Application, Peer]:
            record = Peer(server.name, "server", server.kind, port)
            self.note(record)
            made = self._application(host, server, record)
            return Impatient(made, server.idle_ms, server.end) if server.idle_ms else made, record

        if server.kind == "ntp":
            offset = timedelta(seconds=server.offset_s)
            host.udp(port, NtpServer(self._scenario.time + offset))
        elif server.kind == "dtls" and server.misbehave:
            host.udp(port, dtls12_services.Server(self.setting(server), accept))
        elif server.kind == "dtls":
            delay = server.handshake_delay_ms * MS
            host.udp(port, DtlsServer(self.dtls.context(server), accept, server.ignore, delay))
        elif server.kind == "tls" and (server.misbehave or server.request_kinds):
            factory = self.factory(server)
            host.listen(port, lambda: factory.session(*accept()), mss)
        elif server.kind in ("https", "tls"):
            context = self.tls.context(server)
            delay = server.handshake_delay_ms * MS
            size = server.record_size

            def secured() -> Application:
                layer = self.tls.layer(context, *accept(), delay=delay, record_size=size)
                return StartTls(server.starttls, server.name, layer) if server.starttls else layer

            host.listen(port, secured, mss)
        else:
            host.listen(port, lambda: accept()[0], mss)

    def _application(self, host: Host, server: Server, record: Peer) -> Application:
        if server.kind in ("https", "http"):
            return HttpServer(
                record,
                {"/": Page(body=server.body)} | server.pages,
                server.delay_ms,
                clock=lambda now: self._scenario.time + timedelta(microseconds=now // 1000),
                note=partial(self._tell, host),
            )
        greeting = repeated(server.greeting, server.size)
        return Talker(record, greeting, server.echo, server.delay_ms, server.end)


def repeated(text: str, size: int) -> bytes:
    """The text over and over up to `size` bytes; 0 means the text as it is."""
    data = text.encode()
    return (data * (size // len(data) + 1))[:size] if data and size else data


class Visits:
    """A client of the scenario: connects to the camera, again and again if told to."""

    def __init__(self, endpoints: Endpoints, host: Host, client: Client) -> None:
        self._endpoints, self._host, self._client = endpoints, host, client
        self._left = client.count
        self._connect = {"tls": self._tls, "dtls": self._dtls, "tcp": self._tcp}[client.kind]()
        host.call_at(client.start_ms * MS, self._call)

    def _call(self) -> None:
        address = self._endpoints.camera_address(self._client.camera)
        if address is None:  # it has none yet
            self._call_again_later()
            return
        client = self._client
        record = Peer(client.name, "client", client.kind, client.port)
        self._endpoints.note(record)
        text = repeated(client.send, client.size)
        caller = Caller(record, text, client.hold_ms, self._finished, client.end)
        self._connect(address, caller, record)

    def _finished(self, record: Peer) -> None:
        if record.opened_ns is None:  # nobody listens yet: not a visit
            with suppress(ValueError):  # many have come since
                self._endpoints.peers.remove(record)
            self._call_again_later()
            return
        self._left -= 1
        if self._left > 0:
            self._host.call_at(self._host.now, self._call)

    def _call_again_later(self) -> None:
        self._host.call_at(self._host.now + self._client.retry_ms * MS, self._call)

    def _leave(self, layer: TlsLayer | tls12.Session, record: Peer) -> None:
        """Go in mid handshake, or later; the camera need not agree."""
        if record.opened_ns is not None and record.closed_ns is None:
            layer.abort() if self._client.end == "reset" else layer.cut()
            layer.application.lost(layer, "left")

    # How to connect: by kind ------------------------------------------------------------

    def _tcp(self) -> Callable[[IPv4Address, Application, Peer], None]:
        def connect(address: IPv4Address, application: Application, record: Peer) -> None:
            self._host.connect(address, record.port, application, self._host.now)

        return connect

    def _tls(self) -> Callable[[IPv4Address, Application, Peer], None]:
        if self._client.misbehave:
            return self._hostile_tls()
        tls, context = self._endpoints.tls, self._endpoints.tls.context(self._client)

        def connect(address: IPv4Address, application: Application, record: Peer) -> None:
            client, host = self._client, self._host
            delay = client.handshake_delay_ms * MS
            layer = tls.layer(context, application, record, client.server_name, delay)
            host.connect(address, record.port, layer, host.now)
            if client.leave_ms:
                host.call_at(host.now + client.leave_ms * MS, partial(self._leave, layer, record))

        return connect

    def _hostile_tls(self) -> Callable[[IPv4Address, Application, Peer], None]:
        factory = self._endpoints.factory(self._client)

        def connect(address: IPv4Address, application: Application, record: Peer) -> None:
            session = factory.session(application, record)
            host, client = self._host, self._client
            host.connect(address, record.port, session, host.now)
            if client.leave_ms:
                host.call_at(host.now + client.leave_ms * MS, partial(self._leave, session, record))

        return connect

    def _dtls(self) -> Callable[[IPv4Address, Application, Peer], None]:
        client, host = self._client, self._host
        delay = client.handshake_delay_ms * MS
        setting = self._endpoints.setting(client) if client.misbehave else None
        context = None if setting else self._endpoints.dtls.context(client)

        def connect(address: IPv4Address, application: Application, record: Peer) -> None:
            peer = address, record.port
            visit: DtlsClient | dtls12_services.Client
            if context:
                name = client.server_name
                visit = DtlsClient(
                    host, context, peer, application, record, server_name=name, delay=delay
                )
            elif setting:
                visit = dtls12_services.Client(setting, host, peer, application, record)

            def check_answer() -> None:
                if record.opened_ns is None:
                    visit.give_up("no answer")

            # UDP tells of nobody there by silence only.
            host.call_at(host.now + client.retry_ms * MS, check_answer)
            patience = client.leave_ms * MS or delay + _DTLS_PATIENCE
            host.call_at(host.now + patience, partial(visit.give_up, "handshake timed out"))

        return connect
