"""TLS by OpenSSL over memory BIOs: a layer between a TCP stream and an application."""

import os
import ssl
from collections.abc import Callable
from dataclasses import replace
from typing import BinaryIO

from netsim.errors import UserError
from netsim.scenario import Client, Server
from netsim.services.peers import Peer
from netsim.stack.application import Address, Application, Stream
from netsim.tls.certificates import Authority
from netsim.tls.openssl_random import Randomness
from netsim.tls.records import cipher_suites, cut_records, server_name

_VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
# OpenSSL's own default, spelled out: Python builds differ in theirs.
_CIPHERS = "DEFAULT:!aNULL:!eNULL"
_HELLO_KEPT = 4096  # bytes of a client's first words


class KeyLog:
    """Collects the secrets of all contexts, in a file because `ssl` offers no other way: one that
    has no name and lies in memory."""

    def __init__(self, secrets: Callable[[bytes], None]) -> None:
        self._file = in_memory("keys")
        self.path = f"/proc/self/fd/{self._file.fileno()}"
        self._secrets = secrets

    def pump(self) -> None:
        """Pass on what is new; OpenSSL appends, so the file need not grow."""
        if lines := self._file.read():
            self._file.seek(0)
            self._file.truncate()
            self._secrets(b"".join(line for line in lines.splitlines(True) if line[:1] != b"#"))

    def close(self) -> None:
        """Let the file go."""
        self._file.close()


def in_memory(name: str) -> BinaryIO:
    """A file without a place on the disk (memfd_create(2)): nothing of it outlives the process."""
    return open(os.memfd_create(name, os.MFD_CLOEXEC), "w+b", buffering=0)


class Tls:
    """Makes TLS layers for the peers of one network."""

    def __init__(self, authority: Authority, seed: int, secrets: Callable[[bytes], None]) -> None:
        self._authority = authority
        self.randomness = Randomness(seed)
        self.key_log = KeyLog(secrets)

    def context(self, options: Server | Client) -> ssl.SSLContext:
        """The OpenSSL context of a scenario's peer; raises UserError."""
        serves = isinstance(options, Server)
        protocol = ssl.PROTOCOL_TLS_SERVER if serves else ssl.PROTOCOL_TLS_CLIENT
        with self.randomness:
            context = ssl.SSLContext(protocol)
        context.check_hostname = False  # for now: the next line depends on it
        context.verify_mode = ssl.CERT_REQUIRED if options.verify else ssl.CERT_NONE
        if isinstance(options, Client) and options.server_name and options.verify:
            context.check_hostname = True
        versions = sorted(_VERSIONS[v] for v in options.versions)
        context.minimum_version, context.maximum_version = versions[0], versions[-1]
        # Tickets hold the wall clock's time; without them a run repeats byte for byte.
        context.options |= ssl.OP_NO_TICKET
        if serves:
            context.num_tickets = 0
        try:
            context.set_ciphers(options.ciphers or _CIPHERS)
            if options.certificate:
                self._load_chain(context, options.certificate)
            if isinstance(options, Server) and options.sni:
                context.sni_callback = self._chooser(options)
            if options.verify:
                context.load_verify_locations(cadata=self._authority[options.verify].pem.decode())
        except ssl.SSLError as error:
            what = f"{options.name}: {_describe(error)}"
            raise UserError(f"{what}, see its ciphers and certificate") from None
        context.keylog_filename = self.key_log.path
        return context

    def _chooser(self, options: Server) -> Callable[[ssl.SSLObject, str, ssl.SSLContext], None]:
        """Takes the certificate of the name that a client asks for."""
        contexts = {
            name: self.context(replace(options, certificate=certificate, sni={}))
            for name, certificate in options.sni.items()
        }

        def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
            if name in contexts:
                connection.context = contexts[name]

        return choose

    def _load_chain(self, context: ssl.SSLContext, name: str) -> None:
        certificate = self._authority[name]
        with in_memory("chain.pem") as file:  # ssl takes a file only
            file.write(certificate.key_pem + certificate.chain_pem)
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")

    def layer(
        self,
        context: ssl.SSLContext,
        application: Application,
        record: Peer,
        server_name: str | None = None,
        delay: int = 0,
        record_size: int = 0,
    ) -> "TlsLayer":
        """`application`, behind TLS; the handshake waits `delay` ns, and its records in clear
        are cut to `record_size` bytes unless that is 0."""
        return TlsLayer(self, context, application, record, server_name, delay, record_size)


class TlsLayer(Application):
    """The application of a TCP stream, and the stream of the application behind it."""

    def __init__(
        self,
        tls: Tls,
        context: ssl.SSLContext,
        application: Application,
        record: Peer,
        server_name: str | None,
        delay: int,
        record_size: int,
    ) -> None:
        self._tls, self.application, self._record = tls, application, record
        self._delay, self._record_size = delay, record_size
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._below: Stream
        self._hello = b""  # what the client said first
        self._ready = self._ended = self._broken = False
        with tls.randomness:
            self._ssl = context.wrap_bio(
                self._incoming,
                self._outgoing,
                server_side=record.role == "server",
                server_hostname=server_name,
            )

    # As the application of TCP ----------------------------------------------------------

    def opened(self, stream: Stream) -> None:
        """Start the handshake."""
        self._below = stream
        self._record.opened_ns = stream.now
        if self._delay:
            stream.call_later(self._delay, self._begin)
        else:
            self._pump()

    def _begin(self) -> None:
        self._delay = 0
        self._pump()

    def received(self, stream: Stream, data: bytes) -> None:
        """Records from the peer."""
        if self._record.role == "server" and not self._ready:
            # OpenSSL's own callback complains on stderr about names that are not ASCII.
            self._hello += data[: _HELLO_KEPT - len(self._hello)]
            self._record.server_name = server_name(self._hello[5:]) or None
            self._record.offered = cipher_suites(self._hello[5:])
        self._incoming.write(data)
        self._pump()

    def ended(self, stream: Stream) -> None:
        """The peer's FIN; without a close_notify before it, the data may be cut."""
        self._incoming.write_eof()
        self._pump()
        if not self._ready:
            self._break("connection closed in mid handshake")
        elif not self._ended:
            self._end()

    def lost(self, stream: Stream, error: str | None) -> None:
        """TCP is gone, perhaps before it was established."""
        self._below = stream
        self.application.lost(self, error)

    # As the stream of the application ---------------------------------------------------

    @property
    def now(self) -> int:
        """Virtual nanoseconds."""
        return self._below.now

    @property
    def peer(self) -> Address:
        """Address and port of the other end."""
        return self._below.peer

    def write(self, data: bytes) -> None:
        """Encrypt and send."""
        if data and not self._broken:
            try:
                with self._tls.randomness:
                    self._ssl.write(data)
            except ssl.SSLError as error:
                self._break(_describe(error))
            self._flush()

    def close(self) -> None:
        """Send close_notify, then FIN."""
        if self._ready and not self._broken:
            try:
                with self._tls.randomness:
                    self._ssl.unwrap()
            except (ssl.SSLError, ValueError):
                pass  # the peer's close_notify is still to come, or never comes
            self._flush()
        self._below.close()

    def cut(self) -> None:
        """Send FIN without close_notify, in mid handshake perhaps."""
        self._broken = True
        self._below.close()

    def abort(self) -> None:
        """Reset the TCP connection."""
        self._broken = True
        self._below.abort()

    def call_later(self, delay: int, function: Callable[[], None]) -> None:
        """Call `function` in `delay` ns."""
        self._below.call_later(delay, function)

    # ------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Let OpenSSL work on what has arrived."""
        if self._delay:
            return
        try:
            if not self._ready and not self._broken:
                with self._tls.randomness:
                    self._ssl.do_handshake()
                self._secured()
            while self._ready and not self._ended and not self._broken:
                with self._tls.randomness:
                    data = self._ssl.read(1 << 14)
                if not data:
                    raise ssl.SSLZeroReturnError
                self.application.received(self, data)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._record.close_notify = True
            self._end()
        except ssl.SSLEOFError:
            if self._ready:
                self._end()
        except ssl.SSLError as error:
            self._break(_describe(error))
        self._flush()

    def _secured(self) -> None:
        record = self._record
        self._ready = True
        record.secured_ns = self.now
        record.version = self._ssl.version()
        cipher = self._ssl.cipher()
        record.cipher = cipher[0] if cipher else None
        record.certificate = self._ssl.getpeercert(binary_form=True)
        demanded = self._ssl.context.verify_mode is ssl.CERT_REQUIRED
        record.verified = demanded and record.certificate is not None
        self._flush()
        self.application.opened(self)

    def _end(self) -> None:
        self._ended = True
        self.application.ended(self)

    def _break(self, error: str) -> None:
        """Give up after the alert that OpenSSL has written."""
        self._broken = True
        self._record.error = self._record.error or error
        self._flush()
        self._below.close()

    def _flush(self) -> None:
        self._tls.key_log.pump()
        if data := self._outgoing.read():
            cut = self._record_size and not self._ready
            self._below.write(cut_records(data, self._record_size) if cut else data)


def _describe(error: ssl.SSLError) -> str:
    """OpenSSL's reason in its own words, without the line of its source."""
    detail = getattr(error, "verify_message", None)
    reason = getattr(error, "reason", None) or str(error.args[0])
    reason = reason.lower().rstrip(".").replace("_", " ")
    return f"{reason}: {detail}" if detail else reason
