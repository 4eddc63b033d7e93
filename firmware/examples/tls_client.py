# A TLS client that verifies the server's certificate against a CA certificate in DER format.
import socket
import ssl
import ntptime

# CERT_REQUIRED looks at the certificate's dates: the clock has to be right.
ntptime.settime()

# A plain TCP connection first.
addr = socket.getaddrinfo("example.com", 443)[0][-1]
sock = socket.socket()
sock.connect(addr)

# Then TLS on top of it; nothing but a valid certificate will do.
ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ctx.verify_mode = ssl.CERT_REQUIRED
ctx.load_verify_locations(cafile="ca.der")
ssock = ctx.wrap_socket(sock, server_hostname="example.com")

ssock.write(b"GET / HTTP/1.0\r\nHost: example.com\r\n\r\n")
print(ssock.read())
ssock.close()
