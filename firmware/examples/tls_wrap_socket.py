# A quick TLS connection with ssl.wrap_socket(): nothing is verified, so it is open to anybody
# in the middle.
import socket
import ssl

sock = socket.socket()
sock.connect(socket.getaddrinfo("example.com", 443)[0][-1])
ssock = ssl.wrap_socket(sock, server_hostname="example.com")

ssock.write(b"GET / HTTP/1.0\r\nHost: example.com\r\n\r\n")
print(ssock.read())
ssock.close()
