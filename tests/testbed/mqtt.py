# On the camera: MQTT 3.1.1 over TLS with certificates both ways; publishes, and hears itself.
import socket
import ssl


def text(s):
    return len(s).to_bytes(2, "big") + s.encode()


def packet(kind, body):
    return bytes([kind, len(body)]) + body


def answer(stream):
    kind, size = stream.read(2)
    return kind, stream.read(size) if size else b""


sock = socket.socket()
sock.settimeout(10)
sock.connect(socket.getaddrinfo("broker.lan", 8883)[0][-1])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.verify_mode = ssl.CERT_REQUIRED
context.load_verify_locations(cafile="ca.der")
context.load_cert_chain("camera.der", "camera.key")
broker = context.wrap_socket(sock, server_hostname="broker.lan")
broker.write(packet(0x10, text("MQTT") + b"\x04\x02\x00\x3c" + text("camera")))
assert answer(broker) == (0x20, b"\x00\x00")  # CONNACK: accepted (3.2.2.3)
broker.write(packet(0x82, b"\x00\x01" + text("camera/#") + b"\x00"))
assert answer(broker) == (0x90, b"\x00\x01\x00")  # SUBACK of packet 1 (3.9.3)
for n in range(20):
    broker.write(packet(0x30, text("camera/frames") + b"frame %d" % n))
    kind, body = answer(broker)
    assert kind == 0x30 and body[2:15] == b"camera/frames"
print(body[15:].decode())
broker.write(packet(0xE0, b""))
broker.close()
