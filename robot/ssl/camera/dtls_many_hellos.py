# First contacts of many clients on one context: what memory do they cost?
from helpers import dtls_attempt, dtls_context, heap

ctx = dtls_context()
dtls_attempt(ctx)
heap(lambda _: dtls_attempt(ctx), count - 1)
