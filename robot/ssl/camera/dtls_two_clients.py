# Two DTLS clients at a time: a new socket for the second while the first is held.
from helpers import dtls_accept, dtls_context

ctx = dtls_context()
first = dtls_accept(ctx)
second = dtls_accept(ctx)
second.write(b"hello second\n")
first.write(b"hello first\n")
second.close()
first.close()
