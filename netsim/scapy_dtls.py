"""DTLS 1.2 for scapy: records, fragments of handshake messages, and the hellos with cookies.

RFC 6347. The other handshake messages have the bodies of TLS 1.2. A datagram is a chain of
records, `DTLS() / DTLS()`; handshake records in clear hold `DTLSHandshake` fragments.
"""

from typing import Any

from scapy.fields import (
    BitField,
    ByteEnumField,
    FieldLenField,
    FieldListField,
    PacketListField,
    ShortEnumField,
    ShortField,
    StrFixedLenField,
    StrLenField,
    ThreeBytesField,
)
from scapy.layers.inet import UDP
from scapy.packet import Packet, Raw, bind_layers

VERSIONS = {0xFEFF: "DTLS 1.0", 0xFEFD: "DTLS 1.2", 0x0100: "OpenSSL's DTLS"}
CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23
TYPES = {
    CHANGE_CIPHER_SPEC: "change_cipher_spec",
    ALERT: "alert",
    HANDSHAKE: "handshake",
    APPLICATION_DATA: "application_data",
}
CLIENT_HELLO, SERVER_HELLO, HELLO_VERIFY_REQUEST = 1, 2, 3
CERTIFICATE, SERVER_KEY_EXCHANGE, CERTIFICATE_REQUEST, SERVER_HELLO_DONE = 11, 12, 13, 14
CERTIFICATE_VERIFY, CLIENT_KEY_EXCHANGE, FINISHED = 15, 16, 20
MESSAGES = {
    0: "hello_request",
    CLIENT_HELLO: "client_hello",
    SERVER_HELLO: "server_hello",
    HELLO_VERIFY_REQUEST: "hello_verify_request",
    4: "session_ticket",
    CERTIFICATE: "certificate",
    SERVER_KEY_EXCHANGE: "server_key_exchange",
    CERTIFICATE_REQUEST: "certificate_request",
    SERVER_HELLO_DONE: "server_hello_done",
    CERTIFICATE_VERIFY: "certificate_verify",
    CLIENT_KEY_EXCHANGE: "client_key_exchange",
    FINISHED: "finished",
}


class DTLSHandshake(Packet):
    """A handshake message, or a fragment of one: RFC 6347 section 4.2.2."""

    name = "DTLS Handshake"
    fields_desc = [  # noqa: RUF012 - scapy's metaclass takes it
        ByteEnumField("msgtype", CLIENT_HELLO, MESSAGES),
        ThreeBytesField("length", None),  # type: ignore[arg-type]
        ShortField("message_seq", 0),
        ThreeBytesField("fragment_offset", 0),
        ThreeBytesField("fragment_length", None),  # type: ignore[arg-type]
        StrLenField("data", b"", length_from=lambda packet: packet.fragment_length),
    ]

    def post_build(self, packet: bytes, payload: bytes) -> bytes:
        """A message in one piece needs no lengths."""
        size = len(self.data).to_bytes(3, "big")
        if self.length is None:
            packet = packet[:1] + size + packet[4:]
        if self.fragment_length is None:
            packet = packet[:9] + size + packet[12:]
        return packet + payload

    def extract_padding(self, rest: bytes) -> tuple[bytes, bytes]:
        """What follows is not of this fragment."""
        return b"", rest


class DTLSClientHello(Packet):
    """The body of a ClientHello, with its cookie: RFC 6347 section 4.2.1."""

    name = "DTLS Client Hello"
    fields_desc = [  # noqa: RUF012 - scapy's metaclass takes it
        ShortEnumField("version", 0xFEFD, VERSIONS),
        StrFixedLenField("random", b"\0" * 32, 32),
        FieldLenField("sid_length", None, length_of="sid", fmt="B"),
        StrLenField("sid", b"", length_from=lambda packet: packet.sid_length),
        FieldLenField("cookie_length", None, length_of="cookie", fmt="B"),
        StrLenField("cookie", b"", length_from=lambda packet: packet.cookie_length),
        FieldLenField("ciphers_length", None, length_of="ciphers", fmt="H"),
        FieldListField(
            "ciphers", [], ShortField("", 0), length_from=lambda packet: packet.ciphers_length
        ),
        FieldLenField("compression_length", None, length_of="compression", fmt="B"),
        StrLenField("compression", b"\0", length_from=lambda packet: packet.compression_length),
        FieldLenField("extensions_length", None, length_of="extensions", fmt="H"),
        StrLenField("extensions", b"", length_from=lambda packet: packet.extensions_length),
    ]


class DTLSHelloVerifyRequest(Packet):
    """The body of a HelloVerifyRequest: RFC 6347 section 4.2.1."""

    name = "DTLS Hello Verify Request"
    fields_desc = [  # noqa: RUF012 - scapy's metaclass takes it
        ShortEnumField("version", 0xFEFF, VERSIONS),
        FieldLenField("cookie_length", None, length_of="cookie", fmt="B"),
        StrLenField("cookie", b"", length_from=lambda packet: packet.cookie_length),
    ]


class _Fragments(PacketListField):
    """Fragments where the record is a handshake in clear, else bytes as they are."""

    def getfield(self, packet: Any, data: bytes) -> tuple[bytes, Any]:
        body, rest = data[: packet.length], data[packet.length :]
        if packet.type == HANDSHAKE and packet.epoch == 0:
            return rest, super().getfield(packet, body)[1]
        return rest, [Raw(body)] if body else []


class DTLS(Packet):
    """A record: RFC 6347 section 4.1."""

    name = "DTLS"
    fields_desc = [  # noqa: RUF012 - scapy's metaclass takes it
        ByteEnumField("type", HANDSHAKE, TYPES),
        ShortEnumField("version", 0xFEFD, VERSIONS),
        ShortField("epoch", 0),
        BitField("sequence_number", 0, 48),
        FieldLenField("length", None, length_of="msg", fmt="H"),
        _Fragments("msg", [], DTLSHandshake),
    ]

    def guess_payload_class(self, payload: bytes) -> type[Packet]:
        """Another record of the datagram."""
        more = len(payload) >= 13 and payload[0] in TYPES and payload[1] == 0xFE
        return DTLS if more else Raw


for _port in (4433, 5684):
    bind_layers(UDP, DTLS, dport=_port)
    bind_layers(UDP, DTLS, sport=_port)


def records(datagram: bytes) -> list[DTLS]:
    """The records of a datagram; a damaged rest is left out."""
    found: list[DTLS] = []
    layer: Any = DTLS(datagram) if len(datagram) >= 13 else None
    while isinstance(layer, DTLS):
        alone = layer.copy()
        alone.remove_payload()
        found.append(alone)
        layer = layer.payload
    return found
