# Greets `clients` clients, one after the other.
from helpers import serve, server_context

given = globals().get
ctx = server_context(
    given("cert", "server.der"), given("key", "server.key"), given("mode", 0), given("ca")
)
serve(ctx, given("clients", 1), given("text", b"hello\n"))
