# A TLS server that survives its clients: what each comes to, one line each.
from helpers import listen, server_context

ctx = server_context("server_p256.der", "server_p256.key")  # netsim's own clients know P-256 only
listener = listen()
for number in range(count):
    client, _ = listener.accept()
    client.settimeout(5)
    try:
        s = ctx.wrap_socket(client, server_side=True)
        s.write(b"hello\n")
        print(number, "got", s.read(4))
    except (OSError, ValueError) as error:
        print(number, "raised", type(error).__name__, error.args[0])
    client.close()
listener.close()
