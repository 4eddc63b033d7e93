# What the ssl suites use on the camera: sockets and contexts in one call.
import gc
import select
import socket
import ssl
import time

import machine


def tcp(name="example.com", port=443):
    sock = socket.socket()
    sock.connect(socket.getaddrinfo(name, port)[0][-1])
    return sock


def udp(name="dtls.example.com", port=5684):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(socket.getaddrinfo(name, port)[0][-1])
    return sock


def context(mode=ssl.CERT_NONE, ca=None, cert=None, key=None, protocol=ssl.PROTOCOL_TLS_CLIENT):
    ctx = ssl.SSLContext(protocol)
    ctx.verify_mode = mode
    if ca:
        ctx.load_verify_locations(cafile=ca)
    if cert:
        ctx.load_cert_chain(cert, key)
    return ctx


def connect(name="example.com", port=443, hostname=True, wrap={}, **options):
    """A TLS connection; hostname is the server's unless another, or None, is given."""
    hostname = name if hostname is True else hostname
    return context(**options).wrap_socket(tcp(name, port), server_hostname=hostname, **wrap)


def required(name="example.com", ca="ca.der", **options):
    """A TLS connection that verifies the server."""
    return connect(name, mode=ssl.CERT_REQUIRED, ca=ca, **options)


def listen(port=8443):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(socket.getaddrinfo("0.0.0.0", port)[0][-1])
    sock.listen(1)
    return sock


def server_context(cert="server.der", key="server.key", mode=ssl.CERT_NONE, ca=None):
    return context(mode, ca, cert, key, ssl.PROTOCOL_TLS_SERVER)


def serve(ctx=None, clients=1, text=b"hello\n", wrap={}):
    """Greet so many clients, one after the other."""
    ctx = ctx or server_context()
    listener = listen()
    for _ in range(clients):
        client, _ = listener.accept()
        sclient = ctx.wrap_socket(client, server_side=True, **wrap)
        sclient.write(text)
        sclient.close()
    listener.close()


def datagrams(port=5684):
    """A UDP socket that knows its next client, and the client's address."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(socket.getaddrinfo("0.0.0.0", port)[0][-1])
    _, address = sock.recvfrom(1, socket.MSG_PEEK)
    sock.connect(address)
    return sock, address


def dtls_context(cert="server.der", key="server.key"):
    return context(cert=cert, key=key, protocol=ssl.PROTOCOL_DTLS_SERVER)


def dtls_attempt(ctx, client_id=None):
    """One wrap_socket() for the client whose datagram is next; (socket, None) or (None, error)."""
    sock, address = datagrams()
    try:
        client_id = client_id or repr(address).encode()
        return ctx.wrap_socket(sock, server_side=True, client_id=client_id), None
    except OSError as error:
        sock.close()
        return None, error


def dtls_accept(ctx):
    """The next client whose cookie is right."""
    while True:
        ssock, _ = dtls_attempt(ctx)
        if ssock:
            return ssock


def set_clock(year, month=6, day=15):
    machine.RTC().datetime((year, month, day, 1, 12, 0, 0, 0))


def scrub(depth=40):
    """What calls have left on the stack is written over: the collector takes it for references,
    where it is not written anew."""
    return depth and scrub(depth - 1)


def free():
    scrub()
    gc.collect()
    return gc.mem_free()


def ballast():
    """Fill the holes of the heap: the collector takes what lies on the stack for references, and
    past the holes is nothing yet that it could point to."""
    holes = []
    while len(holes) < 300:
        holes.append([])
    return holes


def heap(function, count=1):
    """Call it with 0, 1, ...; print what that costs of the heap."""
    holes = ballast()
    before = free()
    for number in range(count):
        function(number)
    print("heap", before - free())
    return holes


def same(data, size):
    """Is this the alphabet over and over, size bytes of it?"""
    alphabet = b"abcdefghijklmnopqrstuvwxyz"
    pattern = (alphabet * (size // 26 + 1))[:size]
    return data == pattern
