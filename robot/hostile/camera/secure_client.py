# Verifies the server on the camera named `peer`, by the root in the file `root`; what that leaves
# of the heap.
from helpers import context, heap, socket, ssl


def visit(_):
    sock = socket.socket()
    sock.settimeout(30)
    try:
        sock.connect(socket.getaddrinfo(peer, 8443)[0][-1])
        secure = context(ssl.CERT_REQUIRED, root).wrap_socket(sock, server_hostname="camera.local")
        print(*reversed(secure.cipher()))
        secure.write(b"client")
        print(secure.read().decode())
        secure.close()
    except (OSError, ValueError) as error:
        print("raised", error.args)
    sock.close()


heap(visit)
