# An immediate handshake on a socket that does not block.
from helpers import context, tcp

sock = tcp()
sock.setblocking(False)
context().wrap_socket(sock)
