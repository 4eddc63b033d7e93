# Set the RTC from a network time server (RFC 4330, SNTP).
import socket
import struct
import time
from machine import RTC

host = "pool.ntp.org"
timeout = 1  # seconds


def time_s():
    query = bytearray(48)
    query[0] = 0x1B  # version 3, client
    address = socket.getaddrinfo(host, 123)[0][-1]
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        s.settimeout(timeout)
        s.sendto(query, address)
        reply = s.recv(48)
    finally:
        s.close()
    seconds = struct.unpack("!I", reply[40:44])[0]  # since 1900, era 1 from 2036 on
    if seconds < 0x80000000:
        seconds += 1 << 32
    return seconds - 2208988800


def settime():
    t = time.gmtime(time_s() - EPOCH)
    RTC().datetime((t[0], t[1], t[2], t[6] + 1, t[3], t[4], t[5], 0))


EPOCH = 0 if time.gmtime(0)[0] == 1970 else 946684800
