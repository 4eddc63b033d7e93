# Answers `connections` clients over TLS, whatever becomes of each; what they leave of the heap.
from helpers import heap, server_context, socket

listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(socket.getaddrinfo("0.0.0.0", 8443)[0][-1])
listener.listen(4)
context = server_context("server_p256.der", "server_p256.key")


def serve(_):
    client, address = listener.accept()
    client.settimeout(30)
    try:
        secure = context.wrap_socket(client, server_side=True)
        secure.write(b"hello " + secure.read(6))
        secure.close()
        print("served")
    except OSError as error:
        print(error)
        client.close()


heap(serve, connections)
