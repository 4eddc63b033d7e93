# Meets a server whose certificate it verifies: what it comes to, and what it leaves of the heap.
from helpers import heap, required


def meet(_):
    try:
        s = required(server, hostname="example.com")
        s.write(b"ping")
        print("got", s.read(4))
        s.close()
    except (OSError, ValueError) as error:
        print("raised", error.args)


heap(meet)
