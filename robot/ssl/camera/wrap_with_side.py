# One client, by a context of this protocol and with this server_side.

from helpers import context, listen

ctx = context(cert="server.der", key="server.key", protocol=protocol)
client, _ = listen().accept()
client.settimeout(3)
sclient = ctx.wrap_socket(client, server_side=side)
sclient.write(b"hello\n")
sclient.close()
