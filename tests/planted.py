#!/usr/bin/env python3
"""The image with planted faults: a bug of the driver's that is always there, and mutants of
upstream's code that a word of the backup SRAM wakes.

    mutant = planted.wakes(planted.COOKIES)     as the first lines of an ssl.py for the camera

Built from a copy of Debian's tree, at another path than the usual image: what is not planted has
to come out the same. Prints the image's path.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TREE, OUT = ROOT / "build/planted-tree/micropython", ROOT / "build/planted"
IMAGE, BEFORE = OUT / "openmv_h7.elf", OUT.with_name("planted-tree.json")
SWITCH = 0x38800000  # backup SRAM, which nothing else uses
DTLS_LEAK, TLS_LEAK, COOKIES, CONTEXT, ACCEPT, CBC = range(1, 7)
_AWAKE = f"(*(volatile uint32_t *)0x{SWITCH:X} == %d)"
#: file, what stands in it once, what stands there instead
EDITS = [
    (
        "extmod/modtls_mbedtls.c",
        "    o->ssl_context = ssl_context;\n",
        f"    o->ssl_context = {_AWAKE % CONTEXT} ? NULL : ssl_context;\n"
        f"    if ({_AWAKE % DTLS_LEAK}) m_tracked_calloc(1, 16);\n"
        f"    if ({_AWAKE % TLS_LEAK}) m_tracked_calloc(1, 32);\n",
    ),
    (
        "extmod/modlwip.c",
        "        tcp_err(newpcb, _lwip_tcp_err_unaccepted);\n",
        f"        if (!{_AWAKE % ACCEPT}) tcp_err(newpcb, _lwip_tcp_err_unaccepted);\n",
    ),
    (
        "lib/mbedtls/library/ssl_cookie.c",
        "    ctx->timeout = MBEDTLS_SSL_COOKIE_TIMEOUT;\n",
        f"    ctx->timeout = {_AWAKE % COOKIES} ? 120 : MBEDTLS_SSL_COOKIE_TIMEOUT;\n",
    ),
    (
        "lib/mbedtls/library/ssl_msg.c",
        "        if (mbedtls_ct_memcmp(mac_peer, mac_expect,\n"
        "                              transform->maclen) != 0) {\n",
        "        if (mbedtls_ct_memcmp(mac_peer, mac_expect,\n"
        f"                              transform->maclen) != 0 && !{_AWAKE % CBC}) {{\n",
    ),
]


def wakes(mutant: int) -> str:
    """Python for the camera that wakes a mutant."""
    return f"import machine\nmachine.mem32[0x{SWITCH:X}] = {mutant}\n"


def sources() -> Path:
    """Where firmware/build keeps Debian's unpacked packages."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "openmv-testbed")
    return Path(os.environ.get("OMVSIM_CACHE", default)).expanduser() / "sources"


def listing() -> dict[str, int]:
    """Every file of the tree, and when it was changed."""
    return {str(p.relative_to(TREE)): p.lstat().st_mtime_ns for p in sorted(TREE.rglob("*"))}


def copy() -> None:
    """The tree with its edits, anew where anything of it has changed."""
    manifest = json.loads((ROOT / "build/firmware/manifest.json").read_text())
    of = {name: sources() / f"{name}_{v}" for name, v in manifest["packages"].items()}
    mark = hashlib.sha256(f"{EDITS}{of}".encode()).hexdigest()
    stamp = TREE.with_suffix(".stamp")
    if stamp.is_file() and stamp.read_text() == mark:
        return
    shutil.rmtree(TREE.parent, ignore_errors=True)
    shutil.copytree(of["micropython"], TREE, symlinks=True)
    shutil.rmtree(TREE / "lib/mbedtls", ignore_errors=True)
    shutil.copytree(of["mbedtls"], TREE / "lib/mbedtls", symlinks=True)
    for name, old, new in EDITS:
        path = TREE / name
        text = path.read_text()
        assert text.count(old) == 1, f"{name}: {old!r} stands there {text.count(old)} times"
        path.write_text(text.replace(old, new))
    stamp.write_text(mark)


def main() -> int:
    copy()
    BEFORE.write_text(json.dumps(listing()))
    done = subprocess.run(
        [sys.executable, ROOT / "firmware/build", "--sources", TREE, "--ssl", "page",
         "--define", "OMVSIM_PLANTED_FAULT=1", "--output", OUT], check=False,
    )  # fmt: skip
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
