# A TLS client with a time-out of 30 seconds, and 2000 bytes each way; what it leaves of the heap.
from helpers import context, heap, socket, ssl


def talk(_):
    sock = socket.socket()
    sock.settimeout(30)
    try:
        sock.connect(socket.getaddrinfo("example.com", 443)[0][-1])
        s = context(ssl.CERT_REQUIRED, "ca.der").wrap_socket(sock, server_hostname="example.com")
        data = bytes(i & 0xFF for i in range(2000))
        s.write(b"ping")
        answer = s.read(4)
        s.write(data)
        print(answer, s.read(2000) == data)
        s.close()
    except OSError as error:
        print("raised", error.args)
    sock.close()


heap(talk)
