# wrap_socket() for the next datagrams, with the same context or a new one, and these identifiers.
from helpers import dtls_attempt, dtls_context

given = globals().get
ids = given("ids", [None, None])
ctx = dtls_context()
for number, client_id in enumerate(ids, 1):
    if given("new_context"):
        ctx = dtls_context()
    ssock, error = dtls_attempt(ctx, client_id)
    if ssock:
        print(number, type(ssock).__name__)
        break
    print(number, "OSError", *error.args)
