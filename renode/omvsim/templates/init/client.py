# Runs on the camera: one verified HTTPS request.
import socket
import ssl

NAME = "server.example"
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.verify_mode = ssl.CERT_REQUIRED
context.load_verify_locations(cafile="ca.der")
plain = socket.socket()
plain.connect(socket.getaddrinfo(NAME, 443)[0][-1])
sock = context.wrap_socket(plain, server_hostname=NAME)
sock.write(b"GET / HTTP/1.0\r\nHost: " + NAME.encode() + b"\r\n\r\n")
print(sock.read().decode().splitlines()[-1])
sock.close()
