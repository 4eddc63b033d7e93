# Writes to one client until it cannot.
from helpers import listen, server_context

client, _ = listen().accept()
client.settimeout(5)
s = server_context("server_p256.der", "server_p256.key").wrap_socket(client, server_side=True)
for _ in range(100):
    s.write(bytes(4096))
