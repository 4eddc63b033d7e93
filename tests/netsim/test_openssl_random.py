"""OpenSSL with a seeded generator, up to the end of the process."""

import os
import subprocess
import sys

SCRIPT = """
import ssl
from netsim.tls.openssl_random import Randomness
for _ in range(2):
    with Randomness(1):
        print(ssl.RAND_bytes(4).hex())
print(ssl.RAND_bytes(4).hex())
"""


def test_the_process_ends_in_order() -> None:
    """OpenSSL's clean-up looks at the generator after Python has freed all that it can; what is
    freed is written over here."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONMALLOC": "malloc", "MALLOC_PERTURB_": "85"},
    )  # fmt: skip
    assert done.returncode == 0
    first, again, other = done.stdout.split()
    assert first == again != other
