# A DTLS server that survives its clients; each is greeted, and should say `ping` once. After
# each: what they have left of the heap.
from helpers import ballast, datagrams, dtls_context, free

ctx = dtls_context("server_p256.der", "server_p256.key")  # netsim's own clients know P-256 only


def visit():
    sock, address = datagrams()
    sock.settimeout(10)
    try:
        ssock = ctx.wrap_socket(sock, server_side=True, client_id=repr(address).encode())
        ssock.write(b"hello\n")
        print("got", ssock.read(4))
        sock.settimeout(2)
        try:
            print("and then", ssock.read(4))
        except OSError:
            print("and no more")
        ssock.close()
    except (OSError, ValueError) as error:
        print("refused", error.args)
        sock.close()


def serve():
    holes = ballast()
    before = free()
    while holes:
        visit()
        print("heap", before - free())


serve()
