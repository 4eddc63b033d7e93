"""DHCP, DNS, NTP and HTTP as scapy and the RFCs see them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

import pytest
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet
from station import MAC, Collector, Station, dhcp, lease

import netsim
from netsim.services.dns import DnsServer
from netsim.services.ntp import NtpServer
from netsim.stack.rto import MS, SECOND

WORLD = """
time = 2031-02-03T04:05:06Z
[dhcp]
first = "192.168.1.20"
last = "192.168.1.21"
lease_s = 100
[[server]]
kind = "http"
name = "web"
address = "192.168.1.9"
body = "hello"
delay_ms = 30
"""


@pytest.fixture
def station() -> Iterator[Station]:
    with netsim.build(netsim.scenario.loads(WORLD)) as network:
        yield Station(network)


def options(frame: bytes) -> dict[str, object]:
    return {o[0]: o[1] for o in Ether(frame)[DHCP].options if isinstance(o, tuple)}


def test_dhcp_offer_and_ack_carry_the_configuration(station: Station) -> None:
    [offer] = station.send(dhcp("discover", xid=0x1234))
    packet = Ether(offer)
    assert (packet.dst, packet[IP].dst) == (MAC, "192.168.1.20")  # no broadcast flag: unicast
    assert (packet[UDP].sport, packet[UDP].dport, packet[BOOTP].xid) == (67, 68, 0x1234)
    assert packet[BOOTP].yiaddr == "192.168.1.20"
    wanted = ("requested_addr", "192.168.1.20"), ("server_id", "192.168.1.1")
    [ack] = station.send(dhcp("request", *wanted))
    assert options(ack) == {
        "message-type": 5,
        "server_id": "192.168.1.1",
        "subnet_mask": "255.255.255.0",
        "router": "192.168.1.1",
        "name_server": "192.168.1.1",
        "broadcast_address": "192.168.1.255",
        "lease_time": 100,
        "renewal_time": 50,
        "rebinding_time": 87,
    }
    assert station.network.camera.address == IPv4Address("192.168.1.20")


def test_dhcp_broadcast_flag_is_honoured(station: Station) -> None:
    packet = Ether(dhcp("discover"))
    packet[BOOTP].flags = 0x8000
    del packet[IP].chksum, packet[UDP].chksum
    [offer] = map(Ether, station.send(bytes(packet)))
    assert (offer.dst, offer[IP].dst) == ("ff:ff:ff:ff:ff:ff", "255.255.255.255")


@pytest.mark.parametrize("wanted", ["10.0.0.5", "192.168.1.99"])
def test_dhcp_refuses_addresses_that_are_not_its_own(station: Station, wanted: str) -> None:
    [nak] = station.send(dhcp("request", ("requested_addr", wanted)))
    assert options(nak) == {"message-type": 6, "server_id": "192.168.1.1"}
    assert Ether(nak)[IP].dst == "255.255.255.255"


def test_dhcp_renews_releases_and_expires(station: Station) -> None:
    lease(station)
    [renewed] = station.send(dhcp("request", ciaddr="192.168.1.20"))  # ARP comes first
    if ARP in Ether(renewed):
        request = Ether(renewed)[ARP]
        reply = ARP(op=2, hwsrc=MAC, psrc=request.pdst, hwdst=request.hwsrc, pdst=request.psrc)
        [renewed] = station.send(bytes(Ether(src=MAC, dst=request.hwsrc) / reply))
    assert options(renewed)["message-type"] == 5
    station.send(dhcp("release", ciaddr="192.168.1.20"))
    assert station.network._dhcp.address_of(bytes.fromhex(MAC.replace(":", ""))) is None
    other = Ether(dhcp("discover"))
    other[BOOTP].chaddr = b"\x02\0\0\0\0\x09"
    del other[UDP].chksum
    assert Ether(station.send(bytes(other))[0])[BOOTP].yiaddr == "192.168.1.20"
    assert Ether(station.send(dhcp("discover"))[0])[BOOTP].yiaddr == "192.168.1.21"
    station.now += 100 * SECOND
    assert Ether(station.send(dhcp("discover"))[0])[BOOTP].yiaddr == "192.168.1.21"


def test_dhcp_another_servers_offer_wins(station: Station) -> None:
    station.send(dhcp("discover"))
    chosen = ("server_id", "192.168.1.3"), ("requested_addr", "192.168.1.200")
    assert station.send(dhcp("request", *chosen)) == []
    assert station.network._dhcp._leases == {}


def test_dhcp_declined_address_is_set_aside(station: Station) -> None:
    lease(station)
    station.send(dhcp("decline", ("requested_addr", "192.168.1.20")))
    assert Ether(station.send(dhcp("discover"))[0])[BOOTP].yiaddr == "192.168.1.21"


def test_dhcp_inform_gets_no_lease(station: Station) -> None:
    lease(station)
    known = ARP(op=2, hwsrc=MAC, psrc="192.168.1.20", pdst="192.168.1.1")
    station.send(bytes(Ether(src=MAC, dst="ff:ff:ff:ff:ff:ff") / known))
    [ack] = map(Ether, station.send(dhcp("inform", ciaddr="192.168.1.20")))
    assert ack[BOOTP].yiaddr == "0.0.0.0" and ack[IP].dst == "192.168.1.20"
    assert "lease_time" not in options(bytes(ack))


def dns(name: str, **more: object) -> Packet:
    server = DnsServer({"Example.com": [IPv4Address("1.2.3.4")]})
    answer = server.answer(bytes(DNS(id=77, qd=[DNSQR(qname=name, **more)])))
    assert answer is not None
    return DNS(answer)


def test_dns_answers() -> None:
    known = dns("example.COM")
    assert (known.id, known.qr, known.rcode, known.an[0].rdata) == (77, 1, 0, "1.2.3.4")
    assert known.qd[0].qname == known.an[0].rrname == b"example.COM."
    unknown = dns("nowhere.example")
    assert (unknown.rcode, unknown.ancount) == (3, 0)  # NXDOMAIN
    other_type = dns("example.com", qtype="AAAA")
    assert (other_type.rcode, other_type.ancount) == (0, 0)


def test_dns_tells_all_addresses_and_aliases() -> None:
    """RFC 1035 3.6.2: an alias comes with what it stands for; RFC 6604: the last name's code."""
    zone = '[dns.zone]\n"two.lan" = ["192.0.2.1", "192.0.2.2"]\n"www.lan" = "Cdn.lan."\n'
    zone += '"cdn.lan" = "two.lan"\n"round.lan" = "about.lan"\n"about.lan" = "round.lan"\n'
    zone += '"server.lan" = "twice.lan"\n'
    for last in (7, 8):
        zone += f'[[server]]\nkind = "tcp"\nname = "twice.lan"\naddress = "192.168.1.{last}"\n'
    with netsim.build(netsim.scenario.loads(zone)) as network:
        station = Station(network)
        lease(station)

        def ask(name: str, kind: str = "A") -> tuple[int, list[tuple[int, str, str]]]:
            question = bytes(DNS(id=3, qd=[DNSQR(qname=name, qtype=kind)]))
            [answer] = map(DNS, station.ask_udp("192.168.1.1", 53, question))
            told = [(r.type, r.rrname.decode(), r.rdata) for r in answer.an]
            return answer.rcode, [
                (kind, name, what.decode() if isinstance(what, bytes) else what)
                for kind, name, what in told
            ]

        addresses = [(1, "two.lan.", "192.0.2.1"), (1, "two.lan.", "192.0.2.2")]
        alias = [(5, "www.lan.", "cdn.lan."), (5, "cdn.lan.", "two.lan.")]
        assert ask("two.lan") == (0, addresses)
        assert ask("www.lan") == (0, alias + addresses)
        assert ask("www.lan", "AAAA") == (0, alias)
        assert ask("www.lan", "CNAME") == (0, alias[:1])
        assert ask("server.lan")[1][1:] == [
            (1, "twice.lan.", "192.168.1.7"),
            (1, "twice.lan.", "192.168.1.8"),
        ]
        assert len(ask("round.lan")[1]) == 8  # and then it gives up
    lost = DnsServer({"www.lan": ["nowhere.lan"]}).answer(bytes(DNS(qd=[DNSQR(qname="www.lan")])))
    assert (DNS(lost).rcode, DNS(lost).an[0].rdata) == (3, b"nowhere.lan.")


def test_dns_refuses_what_it_does_not_do() -> None:
    server = DnsServer({})
    assert server.answer(b"") is None
    assert server.answer(bytes(DNS(qr=1))) is None
    two = DNS(server.answer(bytes(DNS(qd=[DNSQR(qname="a"), DNSQR(qname="b")]))))
    assert two.rcode == 1  # FORMERR
    assert DNS(server.answer(bytes(DNS(opcode=2)))).rcode == 4  # NOTIMP


def test_ntp_tells_the_scenarios_time() -> None:
    true = datetime(2026, 6, 15, 12, 0, 0, 250_000, tzinfo=UTC)
    request = b"\x1b" + bytes(39) + bytes(range(8))
    answer = NtpServer(true).answer(request, 3 * SECOND + 500 * MS)
    assert answer is not None and len(answer) == 48
    assert answer[0] == 0x1C and answer[1] == 1  # no leap, version 3, server; stratum 1
    assert answer[24:32] == bytes(range(8))  # origin: the client's transmit time
    seconds = int.from_bytes(answer[40:44], "big")  # as ntptime.py reads it
    fraction = int.from_bytes(answer[44:48], "big") / 2**32
    told = datetime(1900, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds + fraction)
    expected = true + timedelta(seconds=3.5)
    assert abs(told - expected) < timedelta(microseconds=1)


@pytest.mark.parametrize("query", [b"", b"\x1b" * 47, b"\x1c" + bytes(47), b"\x3b" + bytes(47)])
def test_ntp_ignores_what_is_no_request(query: bytes) -> None:
    assert NtpServer(datetime(2026, 1, 1, tzinfo=UTC)).answer(query, 0) is None


def http(station: Station, text: bytes) -> tuple[bytes, Collector]:
    client = Collector(text)
    station.host.connect(IPv4Address("192.168.1.9"), 80, client, station.now)
    station.run(2 * SECOND)
    return bytes(client.got), client


def test_http_10_closes_after_its_delay(station: Station) -> None:
    got, client = http(station, b"GET / HTTP/1.0\r\n\r\n")
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n") and body == b"hello"
    assert b"Date: Mon, 03 Feb 2031 04:05:06 GMT" in head
    assert client.events == ["opened", "ended", "lost None"]
    [said] = [e.time for e in station.network.camera.events if e.text == "200 OK"]
    [asked] = [e.time for e in station.network.camera.events if e.text == "GET / HTTP/1.0"]
    assert said - asked == 30 * MS


def test_http_11_keeps_the_connection(station: Station) -> None:
    request = b"GET /x HTTP/1.1\r\nHost: web\r\n\r\n"
    got, client = http(station, request * 2 + b"HEAD / HTTP/1.1\r\nHost: web\r\n\r\n")
    assert got.count(b"HTTP/1.1 200 OK") == 3 and got.count(b"hello") == 2
    assert client.events == ["opened"]


def test_http_nonsense_gets_400(station: Station) -> None:
    got, client = http(station, b"\x16\x03\x01 what?\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 400 Bad Request")
    assert "ended" in client.events
