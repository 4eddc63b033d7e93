# TLS through memory: both ends on the camera, without any socket.
import io

from helpers import context, server_context


class End(io.IOBase):
    def __init__(self, incoming, outgoing):
        self.incoming = incoming
        self.outgoing = outgoing

    def readinto(self, buffer):
        if not self.incoming:
            return None  # nothing yet
        n = min(len(buffer), len(self.incoming))
        buffer[:n] = self.incoming[:n]
        self.incoming[:] = self.incoming[n:]
        return n

    def write(self, data):
        self.outgoing.extend(data)
        return len(data)

    def ioctl(self, request, argument):
        return 0


a, b = bytearray(), bytearray()
client = context().wrap_socket(End(a, b), do_handshake_on_connect=False)
server = server_context().wrap_socket(End(b, a), server_side=True, do_handshake_on_connect=False)
asked = answered = heard = got = None
while not got:
    asked = asked or client.write(b"ping")
    heard = heard or server.read(4)
    if heard:
        answered = answered or server.write(b"pong")
    got = client.read(4)
print("server got %r, client got %r" % (heard, got))
