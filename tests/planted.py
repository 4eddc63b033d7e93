#!/usr/bin/env python3
"""The image with planted faults: a bug of the driver's that is always there, and mutants of
upstream's code that a word of the backup SRAM wakes.

    mutant = planted.wakes(planted.COOKIES)     as the first lines of an ssl.py for the camera

Made of the usual image's objects: only what is planted is compiled. Prints the image's path.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
USUAL, OUT = ROOT / "build/firmware", ROOT / "build/planted"
IMAGE = OUT / "openmv_h7.elf"
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


def cache() -> Path:
    """Where firmware/build keeps Debian's unpacked packages."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "openmv-testbed")
    return Path(os.environ.get("OMVSIM_CACHE", default)).expanduser().resolve()


def edit(tree: Path) -> None:
    """Plant the mutants in an overlay: a link on the way to a file becomes a folder of links."""
    for name, old, new in EDITS:
        path = tree / name
        for folder in reversed(path.relative_to(tree).parents[:-1]):
            if (link := tree / folder).is_symlink():
                target = link.resolve()
                link.unlink()
                link.mkdir()
                for entry in target.iterdir():
                    (link / entry.name).symlink_to(entry)
        text = path.read_text()
        assert text.count(old) == 1, f"{name}: {old!r} stands there {text.count(old)} times"
        path.unlink()
        path.write_text(text.replace(old, new))


def main() -> int:
    loader = SourceFileLoader("build", str(ROOT / "firmware/build"))
    spec = spec_from_loader("build", loader)
    assert spec
    build = module_from_spec(spec)
    loader.exec_module(build)

    usual = (USUAL / "manifest.json").read_bytes() + Path(__file__).read_bytes()
    mark, stamp = hashlib.sha256(usual).hexdigest(), OUT / "stamp"
    if not stamp.is_file() or stamp.read_text() != mark:
        shutil.rmtree(OUT, ignore_errors=True)
        shutil.copytree(USUAL / "objects", OUT / "objects")
        shutil.copy(USUAL / "manifest.py", OUT)
        archive = build.Archive(cache(), {})
        tree, _ = archive.unpack("micropython")
        replace = {name: archive.unpack(name)[0] for name in ("mbedtls", "lwip")}
        build.overlay(tree, OUT / "tree", replace)
        edit(OUT / "tree")
        jobs = f"-j{os.cpu_count() or 1}"
        cross = build.mpy_cross(tree, cache(), jobs)
        build.compile_port(OUT, tree, replace, cross, [jobs, "OMVSIM_PLANTED_FAULT=1"])
        shutil.copy(OUT / "objects/firmware.elf", IMAGE)
        stamp.write_text(mark)
    print(IMAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
