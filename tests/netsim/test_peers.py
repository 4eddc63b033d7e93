"""What servers of a scenario say: HTTP by path, STARTTLS, the end of what is idle."""

import io
import ssl
from collections.abc import Iterator
from http.client import HTTPResponse
from ipaddress import IPv4Address

import pytest
from station import Collector, SslClient, Station

import netsim
from netsim import scenario
from netsim.scenario import Scenario
from netsim.stack.application import Stream
from netsim.stack.rto import SECOND
from netsim.tls.certificates import Authority

SERVER = IPv4Address("192.168.1.9")
HTTP = """
[[server]]
kind = "http"
name = "web.lan"
address = "192.168.1.9"
body = "front"
[server.pages."/old"]
status = 302
headers = { Location = "/new", Server = "mine" }
[server.pages."/new"]
body = "abcdefghij"
chunk_size = 4
[server.pages."/gone"]
status = 204
[server.pages."/unchanged"]
status = 304
body = "x"
chunk_size = 1
[server.pages."/odd"]
status = 599
body = "?"
"""


class Bytes:
    """What http.client takes for a socket."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def talk(world: Scenario, client: Collector, port: int, seconds: int = 5) -> Collector:
    with netsim.build(world) as network:
        station = Station(network)
        station.host.connect(SERVER, port, client, 0)
        station.run(seconds * SECOND)
    return client


@pytest.mark.parametrize(
    ("asked", "status", "reason", "headers", "body"),
    [
        ("/", 200, "OK", {"Content-Length": "5", "Server": "netsim"}, b"front"),
        ("/old", 302, "Found", {"Location": "/new", "Server": "mine", "Content-Length": "0"}, b""),
        ("/new?a=1", 200, "OK", {"Transfer-Encoding": "chunked"}, b"abcdefghij"),
        ("/gone", 204, "No Content", {"Content-Length": None}, b""),
        ("/unchanged", 304, "Not Modified", {"Transfer-Encoding": None}, b""),
        ("/odd", 599, "Other", {}, b"?"),
        ("/none", 404, "Not Found", {}, b"Not found\n"),
    ],
)
def test_pages_by_path(
    asked: str, status: int, reason: str, headers: dict[str, str | None], body: bytes
) -> None:
    request = f"GET {asked} HTTP/1.1\r\nHost: web.lan\r\nConnection: close\r\n\r\n".encode()
    got = bytes(talk(scenario.loads(HTTP), Collector(request), 80).got)
    response = HTTPResponse(Bytes(got))  # type: ignore[arg-type]
    response.begin()
    assert (response.status, response.reason, response.read()) == (status, reason, body)
    assert {name: response.getheader(name) for name in headers} == headers
    assert (b"4\r\nabcd\r\n4\r\nefgh\r\n2\r\nij\r\n0\r\n\r\n" in got) == (asked == "/new?a=1")


def test_a_chunked_page_for_http_1_0_has_no_chunks() -> None:
    got = bytes(talk(scenario.loads(HTTP), Collector(b"GET /new HTTP/1.0\r\n\r\n"), 80).got)
    assert got.endswith(b"\r\n\r\nabcdefghij") and b"chunked" not in got


class Timed(Collector):
    """Says something a second in, and notes when the other end leaves."""

    left_ns = 0

    def opened(self, stream: Stream) -> None:
        super().opened(stream)
        stream.call_later(SECOND, lambda: stream.write(b"x"))

    def ended(self, stream: Stream) -> None:
        self.left_ns = stream.now
        super().ended(stream)

    def lost(self, stream: Stream, error: str | None) -> None:
        self.left_ns = self.left_ns or stream.now
        super().lost(stream, error)


@pytest.mark.parametrize(
    ("end", "events"), [("notify", ["opened", "ended"]), ("reset", ["opened"])]
)
def test_an_idle_connection_ends(end: str, events: list[str]) -> None:
    world = '[[server]]\nkind = "tcp"\nname = "e.lan"\naddress = "192.168.1.9"\nidle_ms = 3000\n'
    client = talk(scenario.loads(world + f'end = "{end}"\n'), Timed(b""), 7, 20)
    assert isinstance(client, Timed)
    assert client.events[: len(events)] == events
    assert client.left_ns // (SECOND // 10) == 40  # three seconds after what came last


SECURED = """
[certificates.ca]
ca = true
[certificates.server]
issuer = "ca"
names = ["mail.lan"]
[[server]]
kind = "tls"
name = "mail.lan"
address = "192.168.1.9"
certificate = "server"
greeting = "hello "
"""


class Upgrader(SslClient):
    """Waits for each answer, says the next line, and goes on with TLS after the last."""

    lines: Iterator[tuple[bytes, bytes]]
    told: list[bytes]
    secure = False

    def opened(self, stream: Stream) -> None:
        self._wanted, self._next = next(self.lines)
        self._step(stream, b"")

    def received(self, stream: Stream, data: bytes) -> None:
        if self.secure:
            super().received(stream, data)
        else:
            self._step(stream, data)

    def _step(self, stream: Stream, data: bytes) -> None:
        self.told[-1] += data
        if self.told[-1] != self._wanted:
            return
        if not self._next:
            self.secure = True
            super().opened(stream)
            return
        stream.write(self._next)
        self.told.append(b"")
        self._wanted, self._next = next(self.lines)
        if not self._wanted:
            self._step(stream, b"")


XMPP = b"urn:ietf:params:xml:ns:xmpp-tls"
#: RFC 3207 section 5, RFC 9051 section 6.2.1, RFC 6120 section 5.4.2
DIALOGUES = {
    "smtp": (587, [
        (b"220 mail.lan ESMTP\r\n", b"EHLO camera\r\n"),
        (b"250-mail.lan\r\n250 STARTTLS\r\n", b"MAIL FROM:<a@b>\r\n"),
        (b"530 5.7.0 Must issue a STARTTLS command first\r\n", b"starttls\r\n"),
        (b"220 2.0.0 Ready to start TLS\r\n", b""),
    ]),
    "imap": (143, [
        (b"* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] mail.lan ready\r\n", b"a1 LOGIN\r\n"),
        (b"a1 BAD STARTTLS comes first\r\n", b"a2 CAPABILITY\r\n"),
        (
            b"* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\na2 OK CAPABILITY completed\r\n",
            b"a3 STARTTLS\r\n",
        ),
        (b"a3 OK Begin TLS negotiation now\r\n", b""),
    ]),
    "xmpp": (5222, [
        (b"", b"<?xml version='1.0'?><stream:stream to='mail.lan' version='1.0' "
              b"xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"),
        (
            b"<?xml version='1.0'?><stream:stream from=\"mail.lan\" id='1' version='1.0' "
            b"xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
            b"<stream:features><starttls xmlns='" + XMPP + b"'><required/></starttls>"
            b"</stream:features>",
            b"<starttls xmlns='" + XMPP + b"'/>",
        ),
        (b"<proceed xmlns='" + XMPP + b"'/>", b""),
    ]),
}  # fmt: skip


@pytest.mark.parametrize("protocol", DIALOGUES)
def test_starttls(protocol: str) -> None:
    world = scenario.loads(SECURED + f'starttls = "{protocol}"\n')
    context = ssl.create_default_context(cadata=Authority(world)["ca"].pem.decode())
    client = Upgrader(context, "mail.lan", b"ping")
    port, lines = DIALOGUES[protocol]
    client.lines, client.told = iter(lines), [b""]
    talk(world, client, port)
    assert client.told == [wanted for wanted, _ in lines]
    assert bytes(client.got) == b"hello ping"


def test_what_follows_starttls_in_clear_is_dropped() -> None:
    """CVE-2011-0411: it is not taken as said under TLS."""
    world = scenario.loads(SECURED + 'starttls = "smtp"\n')
    client = talk(world, Collector(b"STARTTLS\r\nMAIL FROM:<a@b>\r\n"), 587)
    assert bytes(client.got) == b"220 mail.lan ESMTP\r\n220 2.0.0 Ready to start TLS\r\n"


def test_quit_in_clear_ends() -> None:
    world = scenario.loads(SECURED + 'starttls = "smtp"\n')
    client = talk(world, Collector(b"QUIT\r\n"), 587)
    assert bytes(client.got) == b"220 mail.lan ESMTP\r\n221 2.0.0 mail.lan closing\r\n"
    assert client.events[-1] == "lost None"


def test_a_line_without_end_is_cut_off() -> None:
    world = scenario.loads(SECURED + 'starttls = "imap"\n')
    client = talk(world, Collector(b"a" * 100_000), 143)
    assert client.events == ["opened", "lost reset by peer"]
