# Greets one client through the function ssl.wrap_socket().
import ssl

from helpers import listen


def data(name):
    return open(name, "rb").read()


ca = globals().get("ca")
client, _ = listen().accept()
sclient = ssl.wrap_socket(
    client,
    server_side=True,
    key=data("server.key"),
    cert=data("server.der"),
    cert_reqs=globals().get("cert_reqs", ssl.CERT_NONE),
    cadata=data(ca) if ca else None,
)
sclient.write(b"hello\n")
sclient.close()
