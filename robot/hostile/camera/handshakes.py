# One handshake of each kind, with a minute's patience; `attempt` tells its time and its outcome.
import gc
import time

from helpers import (
    context, datagrams, dtls_context, free, listen, server_context, socket, ssl, udp,
)

PATIENCE = 60
# for a server: the client does not know its cookie yet, or an earlier one's words come late
NEXT = -27264, -30464, -29184


def attempt(function):
    gc.collect()
    began = time.ticks_ms()
    try:
        function()
        outcome = "done"
    except (OSError, ValueError) as error:
        outcome = "raised " + repr(error.args)
    print(time.ticks_diff(time.ticks_ms(), began), outcome)


def until(function):
    """What a call on a non-blocking socket gives in the end."""
    end = time.ticks_add(time.ticks_ms(), PATIENCE * 1000)
    while not (value := function()):
        if time.ticks_diff(end, time.ticks_ms()) < 0:
            raise OSError("no answer")
        time.sleep_ms(20)
    return value


def tls_client():
    sock = socket.socket()
    sock.settimeout(PATIENCE)
    try:
        sock.connect(socket.getaddrinfo("example.com", 443)[0][-1])
        ctx = context(ssl.CERT_REQUIRED, "ca.der")
        s = ctx.wrap_socket(sock, server_hostname="example.com")
        s.write(b"ping")
        s.read(4)
        s.close()
    finally:
        sock.close()


def tls_server():
    sock, _ = listener.accept()
    sock.settimeout(PATIENCE)
    try:
        s = tls_context.wrap_socket(sock, server_side=True)
        s.read(4)
        s.write(b"ping")
        s.close()
    finally:
        sock.close()


def dtls_client():
    sock = udp()
    sock.setblocking(False)
    try:
        ctx = context(ssl.CERT_REQUIRED, "ca.der", protocol=ssl.PROTOCOL_DTLS_CLIENT)
        s = ctx.wrap_socket(
            sock, server_hostname="dtls.example.com", do_handshake_on_connect=False
        )
        until(lambda: s.write(b"ping"))
        s.close()
    finally:
        sock.close()


def dtls_server():
    end = time.ticks_add(time.ticks_ms(), PATIENCE * 1000)
    while time.ticks_diff(end, time.ticks_ms()) > 0:
        sock, address = datagrams()
        sock.setblocking(False)
        try:
            s = cookies.wrap_socket(
                sock, server_side=True, client_id=repr(address).encode(),
                do_handshake_on_connect=False,
            )
            until(lambda: s.write(b"hello"))
            s.close()
            return
        except OSError as error:
            if error.args[0] not in NEXT:
                raise
        finally:
            sock.close()
    raise OSError("no client got through")


# with RSA the first handshake leaves a context its blinding values, which are no leak
identity = "server_p256.der", "server_p256.key"
tls_context, cookies, listener = server_context(*identity), dtls_context(*identity), listen()
listener.settimeout(PATIENCE)
