# A DTLS client whose socket never blocks: each call is a chance to send again.
import time

from helpers import context, ssl, udp

sock = udp()
sock.setblocking(False)
s = context(protocol=ssl.PROTOCOL_DTLS_CLIENT).wrap_socket(sock, do_handshake_on_connect=False)
while not s.write(b"hello\n"):
    time.sleep_ms(50)
while not (answer := s.read(6)):
    time.sleep_ms(50)
print(answer)
