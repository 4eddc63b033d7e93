# Answers `connections` clients over TLS, whatever becomes of each.
import socket
import ssl

listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(socket.getaddrinfo("0.0.0.0", 8443)[0][-1])
listener.listen(4)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("server_p256.der", "server_p256.key")
served = 0
for _ in range(connections):
    client, address = listener.accept()
    client.settimeout(30)
    try:
        secure = context.wrap_socket(client, server_side=True)
        secure.write(b"hello " + secure.read(6))
        secure.close()
        served += 1
    except OSError as error:
        print(error)
        client.close()
print("served", served)
