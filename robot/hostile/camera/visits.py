# A TLS server that survives its clients: what each comes to, one line each, and what they cost of
# the heap.
from helpers import heap, listen, server_context


def visit(number):
    client, _ = listener.accept()
    client.settimeout(5)
    try:
        s = ctx.wrap_socket(client, server_side=True)
        s.write(b"hello\n")
        print(number, "got", s.read(4))
    except (OSError, ValueError) as error:
        print(number, "raised", type(error).__name__, error.args[0])
    client.close()


# netsim's own clients know P-256 only
ctx = server_context("server_p256.der", "server_p256.key")
listener = listen()
heap(visit, count)
listener.close()
