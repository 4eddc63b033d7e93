"""The scenario's servers and clients, put to work on their hosts."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from ipaddress import IPv4Address

from netsim.application import Application
from netsim.certificates import Authority
from netsim.host import Host
from netsim.ntp import NtpServer
from netsim.peers import Caller, HttpServer, Peer, Talker
from netsim.rto import MS
from netsim.scenario import Client, Scenario, Server
from netsim.tls import Tls


class Endpoints:
    """Starts what the scenario lists.

    `tell(host, outwards, text)` hears of HTTP messages, `secrets` of TLS keys,
    `camera_address` gives the address for clients to call.
    """

    def __init__(
        self,
        scenario: Scenario,
        hosts: Mapping[str, Host],
        *,
        tell: Callable[[Host, bool, str], None],
        secrets: Callable[[bytes], None],
        camera_address: Callable[[], IPv4Address | None],
    ) -> None:
        self.peers: list[Peer] = []
        self._scenario, self._tell, self._camera_address = scenario, tell, camera_address
        authority = Authority(scenario)
        self._tls = Tls(authority, scenario.seed, secrets) if scenario.uses_tls else None
        for server in scenario.servers:
            self._serve(hosts[server.name], server)
        for client in scenario.clients:
            self._start(hosts[client.name], client)

    def close(self) -> None:
        """Remove what OpenSSL needed on disk."""
        if self._tls:
            self._tls.key_log.close()

    # Servers ----------------------------------------------------------------------------

    def _serve(self, host: Host, server: Server) -> None:
        if server.kind == "ntp":
            host.udp(server.listening_port, NtpServer(self._scenario.time))
            return
        secured = self._tls is not None and server.kind in ("https", "tls")
        context = self._tls.context(server) if self._tls and secured else None

        def accept() -> Application:
            record = self._record(server.name, "server", server.kind, server.listening_port)
            application = self._server_application(host, server, record)
            if self._tls and context:
                return self._tls.layer(context, application, record)
            return application

        host.listen(server.listening_port, accept)

    def _server_application(self, host: Host, server: Server, record: Peer) -> Application:
        if server.kind in ("https", "http"):
            return HttpServer(
                record,
                server.body.encode(),
                server.delay_ms,
                clock=lambda now: self._scenario.time + timedelta(microseconds=now // 1000),
                note=partial(self._tell, host),
            )
        return Talker(record, server.greeting.encode(), server.echo, server.delay_ms)

    # Clients ----------------------------------------------------------------------------

    def _start(self, host: Host, client: Client) -> None:
        context = self._tls.context(client) if self._tls and client.kind == "tls" else None
        left = client.count

        def call() -> None:
            address = self._camera_address()
            if address is None:  # it has none yet
                host.call_at(host.now + client.retry_ms * MS, call)
                return
            record = self._record(client.name, "client", client.kind, client.port)
            caller: Application = Caller(record, client.send.encode(), client.hold_ms, finished)
            if self._tls and context:
                caller = self._tls.layer(context, caller, record, client.server_name)
            host.connect(address, client.port, caller, host.now)

        def finished(record: Peer) -> None:
            nonlocal left
            if record.opened_ns is None:  # nobody listens yet: not a visit, try again
                self.peers.remove(record)
                host.call_at(host.now + client.retry_ms * MS, call)
                return
            left -= 1
            if left > 0:
                host.call_at(host.now, call)

        if left:
            host.call_at(client.start_ms * MS, call)

    def _record(self, name: str, role: str, kind: str, port: int) -> Peer:
        self.peers.append(Peer(name, "server" if role == "server" else "client", kind, port))
        return self.peers[-1]
