# A DTLS client that verifies the server, says hello and prints the answer.
import socket
import ssl

sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect(socket.getaddrinfo("dtls.example.com", 5684)[0][-1])

ctx = ssl.SSLContext(ssl.PROTOCOL_DTLS_CLIENT)
ctx.verify_mode = ssl.CERT_REQUIRED
ctx.load_verify_locations(cafile="ca.der")
ssock = ctx.wrap_socket(sock, server_hostname="dtls.example.com")

ssock.write(b"hello\n")
print(ssock.read(6))
ssock.close()
