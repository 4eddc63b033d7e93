# One connection after the other: what each comes to, one line each, and what they cost of the heap.
from helpers import heap, socket, ssl


def meet(number):
    sock = socket.socket()
    try:
        sock.settimeout(5)
        sock.connect(socket.getaddrinfo(server, 9443)[0][-1])
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ctx.verify_mode = ssl.CERT_REQUIRED
        ctx.load_verify_locations(cafile="ca.der")
        s = ctx.wrap_socket(sock, server_hostname="example.com")
        s.write(b"ping")
        print(number, "got", s.read(10))
    except (OSError, ValueError) as error:
        print(number, "raised", type(error).__name__, error.args[0])
    sock.close()


heap(meet, count)
