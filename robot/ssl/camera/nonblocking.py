# A non-blocking socket: nothing waits, wrap_socket() included.
import time

from helpers import context, tcp

sock = tcp()
sock.setblocking(False)
began = time.ticks_ms()
s = context().wrap_socket(sock, do_handshake_on_connect=False)
at_once = time.ticks_diff(time.ticks_ms(), began) < 100
waited = set()
while not s.write(b"pong"):
    waited.add(time.ticks_diff(time.ticks_ms(), began) > 1900)
    time.sleep_ms(10)
none = s.read(4)
while not (got := s.read(4)):
    time.sleep_ms(10)
if at_once and True in waited and none is None:
    print("wrapped at once, None while it waits, then", got)
else:
    print(at_once, waited, none, got)
