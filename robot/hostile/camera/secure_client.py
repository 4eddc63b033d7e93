# Verifies the server on the camera named `peer`, by the root in the file `root`.
import socket
import ssl

sock = socket.socket()
sock.settimeout(30)
sock.connect(socket.getaddrinfo(peer, 8443)[0][-1])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.verify_mode = ssl.CERT_REQUIRED
context.load_verify_locations(cafile=root)
secure = context.wrap_socket(sock, server_hostname="camera.local")
print(*reversed(secure.cipher()))
secure.write(b"client")
print(secure.read().decode())
secure.close()
