# Twice the same sender, and the datagram is still there.
import socket

sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(socket.getaddrinfo("0.0.0.0", 5684)[0][-1])
first, a = sock.recvfrom(1, socket.MSG_PEEK)
second, b = sock.recvfrom(1, socket.MSG_PEEK)
whole, c = sock.recvfrom(2000)
print(a == b == c, first == second == whole[:1], len(whole) > 50)
