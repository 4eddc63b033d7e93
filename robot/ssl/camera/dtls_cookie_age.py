# Two attempts of one client; in between the calendar is set forward by so many seconds.
import machine
import time

from helpers import dtls_attempt, dtls_context

ctx = dtls_context()
for number in (1, 2):
    ssock, error = dtls_attempt(ctx)
    if ssock:
        print(number, type(ssock).__name__)
    else:
        print(number, "OSError", *error.args)
    year, month, day, hour, minute, second = time.gmtime(time.time() + int(seconds))[:6]
    machine.RTC().datetime((year, month, day, 1, hour, minute, second, 0))
