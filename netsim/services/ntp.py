"""An NTP server that tells the scenario's time: RFC 5905 (and SNTP clients)."""

from datetime import UTC, datetime

from scapy.layers.ntp import NTPHeader

from netsim.dissect import dissect
from netsim.stack.host import Host
from netsim.stack.wire import Datagram, Packet

PORT = 123
_EPOCH = datetime(1900, 1, 1, tzinfo=UTC)
_CLIENT, _SERVER = 3, 4
_SIZE = 48


def timestamp(time: datetime, now: int) -> int:
    """NTP's 32.32 fixed-point number for `time` plus `now` nanoseconds (RFC 5905 section 6)."""
    since = time - _EPOCH
    nanoseconds = (since.days * 86400 + since.seconds) * 10**9 + since.microseconds * 1000 + now
    return (nanoseconds << 32) // 10**9 & 0xFFFFFFFFFFFFFFFF


class NtpServer:
    """A stratum 1 server; `time` is the true time at power-on."""

    def __init__(self, time: datetime) -> None:
        self._time = time

    def datagram(self, host: Host, packet: Packet, datagram: Datagram) -> None:
        """Answer a client's request."""
        answer = self.answer(datagram.payload, host.now)
        if answer is not None:
            host.send_udp((packet.source, datagram.source_port), PORT, answer)

    def answer(self, query: bytes, now: int) -> bytes | None:
        """The response to a request in client mode at `now`; None to anything else."""
        request = dissect(NTPHeader, query)
        if len(query) < _SIZE or request is None or request.mode != _CLIENT:
            return None
        if not 1 <= request.version <= 4:
            return None
        response = NTPHeader(
            leap=0,
            version=request.version,
            mode=_SERVER,
            stratum=1,
            poll=request.poll,
            precision=-20,  # about a microsecond
            delay=0,
            dispersion=0,
            ref_id=b"GPS\0",
        )
        # Timestamps by hand: scapy's go through floats, which lose nanoseconds.
        told = timestamp(self._time, now).to_bytes(8, "big")
        reference = timestamp(self._time, 0).to_bytes(8, "big")
        return bytes(response)[:16] + reference + query[40:48] + told + told
