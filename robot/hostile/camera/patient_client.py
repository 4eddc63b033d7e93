# A TLS client with a time-out of 30 seconds, and 2000 bytes each way.
from helpers import context, socket, ssl

sock = socket.socket()
sock.settimeout(30)
sock.connect(socket.getaddrinfo("example.com", 443)[0][-1])
s = context(ssl.CERT_REQUIRED, "ca.der").wrap_socket(sock, server_hostname="example.com")
data = bytes(i & 0xFF for i in range(2000))
s.write(b"ping")
answer = s.read(4)
s.write(data)
print(answer, s.read(2000) == data)
s.close()
