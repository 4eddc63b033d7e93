# Greets one client with these cipher suites only.
from helpers import serve, server_context

ctx = server_context(cert, key)
ctx.set_ciphers(ciphers)
serve(ctx)
