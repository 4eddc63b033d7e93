# A server loop that survives whatever accept() and the handshake raise.
from helpers import server_context

ctx = server_context()
while True:
    try:
        client, _ = listener.accept()
        client.settimeout(5)
        sclient = ctx.wrap_socket(client, server_side=True)
    except OSError as error:
        print(error)
        continue
    sclient.write(b"hello\n")
    sclient.close()
    break
