# The page's three lines, for a first contact and for the second one.
import socket
import ssl

ssl_ctx = ssl.SSLContext(ssl.PROTOCOL_DTLS_SERVER)
ssl_ctx.load_cert_chain("server.der", "server.key")
for contact in (1, 2):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(socket.getaddrinfo("0.0.0.0", 5684)[0][-1])
    try:
        _, client_addr = sock.recvfrom(1, socket.MSG_PEEK)
        sock.connect(client_addr)  # Connect back to the client
        sock = ssl_ctx.wrap_socket(sock, server_side=True, client_id=repr(client_addr).encode())
        sock.write(b"hello\n")
    except OSError as error:
        print(error)
    sock.close()
