"""What is said in clear before TLS takes over: SMTP, IMAP and XMPP, as far as STARTTLS."""

import re
from collections.abc import Callable
from xml.sax.saxutils import quoteattr

from netsim.stack.application import Application, Stream

_MOST = 1 << 16  # bytes without an end of line
Reply = tuple[str, bool]  # what to answer, and whether TLS begins then


def _smtp(name: str, said: str) -> Reply:
    """RFC 3207."""
    match said.partition(" ")[0].upper():
        case "EHLO":
            return f"250-{name}\r\n250 STARTTLS\r\n", False
        case "HELO" | "NOOP":
            return f"250 {name}\r\n", False
        case "STARTTLS":
            return "220 2.0.0 Ready to start TLS\r\n", True
        case "QUIT":
            return f"221 2.0.0 {name} closing\r\n", False
    return "530 5.7.0 Must issue a STARTTLS command first\r\n", False


_CAPABILITY = "CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED"


def _imap(name: str, said: str) -> Reply:
    """RFC 9051 sections 6.1 and 6.2.1."""
    tag, _, command = said.partition(" ")
    match command.upper():
        case "CAPABILITY":
            return f"* {_CAPABILITY}\r\n{tag} OK CAPABILITY completed\r\n", False
        case "NOOP":
            return f"{tag} OK NOOP completed\r\n", False
        case "STARTTLS":
            return f"{tag} OK Begin TLS negotiation now\r\n", True
        case "LOGOUT":
            return f"* BYE {name} closing\r\n{tag} OK LOGOUT completed\r\n", False
    return f"{tag} BAD STARTTLS comes first\r\n", False


_XMPP_TLS = "urn:ietf:params:xml:ns:xmpp-tls"


def _xmpp(name: str, said: str) -> Reply:
    """RFC 6120 section 5.4."""
    if re.match(r"<stream:stream[\s>]", said):
        return (
            f"<?xml version='1.0'?><stream:stream from={quoteattr(name)} id='1' version='1.0' "
            "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
            f"<stream:features><starttls xmlns='{_XMPP_TLS}'><required/></starttls>"
            "</stream:features>",
            False,
        )
    if re.match(r"<starttls[\s/>]", said):
        return f"<proceed xmlns='{_XMPP_TLS}'/>", True
    return "", False


#: what the server says first, what ends a word of the client's, the answer to it
PROTOCOLS: dict[str, tuple[str, bytes, Callable[[str, str], Reply]]] = {
    "smtp": ("220 {} ESMTP\r\n", b"\r\n", _smtp),
    "imap": (f"* OK [{_CAPABILITY}] {{}} ready\r\n", b"\r\n", _imap),
    "xmpp": ("", b">", _xmpp),
}


class StartTls(Application):
    """Speaks `protocol` as the server `name` until the client asks for TLS: then `layer` goes on.

    What a client has sent behind its STARTTLS is dropped, as servers must (RFC 3207 section 4.2
    and CVE-2011-0411).
    """

    def __init__(self, protocol: str, name: str, layer: Application) -> None:
        greeting, self._end, self._answer = PROTOCOLS[protocol]
        self._name, self._layer, self._greeting = name, layer, greeting.format(name)
        self._heard, self._secure = b"", False

    def opened(self, stream: Stream) -> None:
        """Greet."""
        stream.write(self._greeting.encode())

    def received(self, stream: Stream, data: bytes) -> None:
        """Answer, or pass on."""
        if self._secure:
            self._layer.received(stream, data)
            return
        self._heard += data
        while self._end in self._heard and not self._secure:
            said, _, self._heard = self._heard.partition(self._end)
            word = said.decode("latin-1") + (self._end.decode() if self._end == b">" else "")
            reply, self._secure = self._answer(self._name, word.strip())
            stream.write(reply.encode("latin-1"))
            if reply.startswith(("221 ", "* BYE")):
                stream.close()
        if self._secure:
            self._layer.opened(stream)
        elif len(self._heard) > _MOST:
            stream.abort()

    def ended(self, stream: Stream) -> None:
        """The client will send no more."""
        if self._secure:
            self._layer.ended(stream)
        else:
            stream.close()

    def lost(self, stream: Stream, error: str | None) -> None:
        """TCP is gone."""
        self._layer.lost(stream, error)
