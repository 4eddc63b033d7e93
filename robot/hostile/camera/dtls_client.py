# A DTLS client on a socket that never blocks, for at most 60 seconds; what it leaves of the heap.
import time

from helpers import context, heap, ssl, udp


def talk(_):
    sock = udp(server)
    sock.setblocking(False)
    # with signatures of RSA a flight would not fit in lwIP's queue of four datagrams twice
    ctx = context(ssl.CERT_REQUIRED, "ca_p256.der", protocol=ssl.PROTOCOL_DTLS_CLIENT)
    end = time.ticks_add(time.ticks_ms(), 60000)
    try:
        s = ctx.wrap_socket(
            sock, server_hostname="dtls.example.com", do_handshake_on_connect=False
        )
        while not s.write(b"ping"):
            time.sleep_ms(20)
            if time.ticks_diff(end, time.ticks_ms()) < 0:
                raise OSError("no answer for a minute")
        got = b""
        while len(got) < 4 and time.ticks_diff(end, time.ticks_ms()) > 0:
            got += s.read(4) or b""
            time.sleep_ms(20)
        time.sleep(1)
        print("got", got, "and then", s.read(4))
        s.close()
    except (OSError, ValueError) as error:
        print("raised", error.args)
    sock.close()


heap(talk)
