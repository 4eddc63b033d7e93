# First contacts of many clients on one context: what memory do they cost?
from helpers import dtls_attempt, dtls_context, free

ctx = dtls_context()
warm = 20
for _ in range(warm):
    dtls_attempt(ctx)
before = free()
for _ in range(count - warm):
    dtls_attempt(ctx)
print(before - free(), "bytes more after", count, "clients")
