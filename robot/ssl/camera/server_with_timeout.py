# The server example with a time-out for each client; it ends after the first that was greeted.
from helpers import listen, server_context

ctx = server_context()
sock = listen()
while True:
    client, addr = sock.accept()
    client.settimeout(2)
    try:
        sclient = ctx.wrap_socket(client, server_side=True)
    except OSError as error:
        print(error)
        client.close()
        continue
    sclient.write(b"hello\n")
    sclient.close()
    break
