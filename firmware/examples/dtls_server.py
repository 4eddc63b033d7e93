# A DTLS server: one UDP socket for each client, one context for all of them.
import socket
import ssl

HELLO_VERIFY_REQUIRED = -27264  # the client does not know its cookie yet

ssl_ctx = ssl.SSLContext(ssl.PROTOCOL_DTLS_SERVER)
ssl_ctx.load_cert_chain("server.der", "server.key")
addr = socket.getaddrinfo("0.0.0.0", 5684)[0][-1]

while True:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(addr)
    _, client_addr = sock.recvfrom(1, socket.MSG_PEEK)
    sock.connect(client_addr)  # from now on this client only
    try:
        ssock = ssl_ctx.wrap_socket(sock, server_side=True, client_id=repr(client_addr).encode())
    except OSError as error:
        sock.close()
        if error.errno != HELLO_VERIFY_REQUIRED:
            print(client_addr, error)
        continue  # the client comes again, with its cookie
    ssock.write(b"hello\n")
    ssock.close()
