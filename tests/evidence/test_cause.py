"""Why a run did not pass: each cause on a real run, and the sentence that tells it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import markupsafe
import pytest
from omvsim.image import ROOT
from omvsim.testbed import SECOND, Testbed
from worlds import CLOCK, TLS, told, world

from netsim import scenario as scenarios

Run = Callable[..., subprocess.CompletedProcess[str]]

RAISES = {
    "expired": (
        "secure('old')",
        "old.lan's certificate expired 2026-05-15; the camera's clock says 2026-06-15",
    ),
    "not yet valid": (
        "secure('new')",
        "new.lan's certificate is valid from 2026-07-01 on; the camera's clock says 2026-06-15",
    ),
    "clock never set": (
        CLOCK % 2000 + "secure('good')",
        "the clock was never set: it says 2000-01-01, and good.lan's certificate is valid from "
        "2020-01-01 on: ntptime.settime() sets it",
    ),
    "clock wrong": (
        CLOCK % 2060 + "secure('good')",
        "good.lan's certificate expired 2049-12-31; the camera's clock says 2060-01-01, but it is "
        "2026-06-15",
    ),
    "unknown authority": (
        "secure('stranger')",
        "stranger.lan's certificate is signed by 'Other CA', and ca.der holds only 'Test CA'",
    ),
    "no intermediate": (
        "secure('short')",
        "short.lan sends its certificate without the intermediate 'Middle CA'; ca.der holds only "
        "'Test CA'",
    ),
    "self-signed": (
        "secure('alone')",
        "alone.lan's certificate is its own issuer, and ca.der holds only 'Test CA'",
    ),
    "authority of the same name": (
        "secure('good', ca='twin.der')",
        "twin.der holds another 'Test CA' than the 'Test CA' that signed good.lan's certificate: "
        "their keys differ",
    ),
    "wrong name": (
        "secure('good', host='example.com')",
        "the script asks for 'example.com', and good.lan:443's certificate is for 'good.lan'",
    ),
    "no authority": (
        "secure('good', ca=None)",
        "CERT_REQUIRED, and no CA to check against: load_verify_locations(cafile='ca.der')",
    ),
    "no server name": (
        "c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)\nc.verify_mode = ssl.CERT_REQUIRED\n"
        "c.wrap_socket(connect('good'))",
        "CERT_REQUIRED needs a name to check: wrap_socket(..., server_hostname=...)",
    ),
    "plain text": ("secure('plain')", "plain.lan:443 speaks no TLS: it sends 'SSH-2.0-x'"),
    "TLS 1.3 only": (
        "secure('three')",
        "three.lan offers TLS 1.3 only, and the camera speaks 1.2: it answered with the fatal "
        "alert protocol_version",
    ),
    "Ed25519": (
        "secure('ed')",
        "ed.lan has an Ed25519 certificate, which the camera cannot verify: it answered with the "
        "fatal alert handshake_failure",
    ),
    "no common suite": (
        "secure('chacha')",
        "chacha.lan speaks ECDHE-ECDSA-CHACHA20-POLY1305 only, which the camera does not offer: it "
        "answered with the fatal alert handshake_failure",
    ),
    "one suite": (
        "c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)\n"
        "c.set_ciphers(['TLS-RSA-WITH-AES-128-CBC-SHA'])\nc.wrap_socket(connect('good'))",
        "good.lan speaks none of the cipher suites that the script has set (AES128-SHA): it "
        "answered with the fatal alert handshake_failure",
    ),
    "reset in the handshake": (
        "insecure('resets')",
        "resets.lan:443 reset the connection in the handshake, after the camera's ClientHello",
    ),
    "closed in the handshake": (
        "insecure('ends')",
        "ends.lan:443 closed the connection in the handshake, after the camera's ClientHello",
    ),
    "silent in the handshake": (
        "insecure('stalls', 3)",
        "stalls.lan:443 says nothing more in the handshake, after its Certificate",
    ),
    "refused": (
        "connect('good', 81)",
        "good.lan:81 refused the connection: nobody listens on port 81 there",
    ),
    "nobody there": (
        "s = socket.socket()\ns.settimeout(3)\ns.connect(('10.0.0.5', 443))",
        "the SYN to 10.0.0.5:443 was never answered",
    ),
    "nobody near": (
        "s = socket.socket()\ns.settimeout(3)\ns.connect(('192.168.1.77', 443))",
        "nobody answered ARP for 192.168.1.77",
    ),
    "read times out": (
        "s = connect('plain', 80)\ns.settimeout(2)\ns.recv(11)\ns.recv(1)",
        "plain.lan:80 has sent 11 bytes and keeps the connection open",
    ),
    "no such name": ("connect('nix')", "DNS knows no address of 'nix.lan'"),
    "invalid certificate": (
        "ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile='ca.pem')",
        "ca.pem is PEM; the camera takes DER: `omvsim certs --convert ca.pem`",
    ),
    "no certificate": (
        "ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile='note.txt')",
        "note.txt holds no certificate in DER",
    ),
    "empty file": (
        "ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile='empty.der')",
        "empty.der is empty",
    ),
    "Ed25519 key": (
        "ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain('ca.der', 'ed.key')",
        "ed.key holds an Ed25519 key, which Mbed TLS does not know: P-256 or RSA it does",
    ),
    "no such file": (
        "open('nix.der')",
        "'nix.der' is not on the camera; it holds 'ca.der' and 'ca.pem' and 'ed.key' and "
        "'empty.der' and 'note.txt' and 'twin.der': [camera.files] puts it there",
    ),
    "no such suite": (
        "ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).set_ciphers(['NIX'])",
        "set_ciphers() names no cipher suite that the camera knows: ctx.get_ciphers() lists them",
    ),
    "memory": (
        "bytearray(10_000_000)",
        "the camera's heap has no room for an allocation of 10,000,000 bytes",
    ),
    "connections": (
        "all = [connect('plain', 80) for _ in range(20)]",
        "lwIP has no more TCP connections: 5 are open, close() ends one",
    ),
    "sensor": (
        "import sensor",
        "this board has no camera sensor: 'import sensor' cannot work here",
    ),
    "module": (
        "import helper",
        "there is no module 'helper' on the camera: [camera.files] puts 'helper.py' there",
    ),
    "WLAN": (
        "import network\nnetwork.WLAN()",
        "this board has no network.WLAN: its network is network.LAN()",
    ),
    "port taken": (
        "a, b = socket.socket(), socket.socket()\na.bind(('0.0.0.0', 5))\na.listen(1)\n"
        "b.bind(('0.0.0.0', 5))",
        "the port is taken: another socket of the camera is bound to it",
    ),
    "DTLS without client_id": (
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind(('0.0.0.0', 5684))\n"
        "s.connect(socket.getaddrinfo('plain.lan', 9)[0][-1])\n"
        "c = ssl.SSLContext(ssl.PROTOCOL_DTLS_SERVER)\nc.wrap_socket(s, server_side=True)",
        "a DTLS server needs client_id=: the client's address as bytes, for its cookie",
    ),
    "DTLS nobody there": (
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.connect(('10.0.0.5', 5684))\n"
        "c = ssl.SSLContext(ssl.PROTOCOL_DTLS_CLIENT)\nc.verify_mode = ssl.CERT_NONE\n"
        "c.wrap_socket(s)",
        "10.0.0.5:5684 never answered the ClientHello (1 datagram)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RAISES)
def test_what_a_script_raised(name: str, tmp_path: Path, image: Path) -> None:
    script, sentence = RAISES[name]
    whole = TLS.lstrip("\n") + script
    lines = whole.splitlines()
    cause = told(tmp_path / "out", whole, world())
    sentence_, _, line = cause.rpartition(" (script line ")
    assert sentence_ == sentence, cause
    assert lines[int(line.rstrip(")")) - 1]


#: script, and what is told when its time is over
WAITS = {
    "read": (
        "s = insecure('six')\ns.read(100)",
        "read(100) waits for 100 bytes; the server has sent 6 and keeps the connection open",
    ),
    "read to the end": (
        "s = insecure('six')\ns.read()",
        "read() waits for the end of the stream; the server has sent 6 and keeps the connection "
        "open",
    ),
    "line": (
        "s = connect('plain', 80)\ns.readline()\ns.readline()",
        "readline() waits for a line; the server has sent 11 and keeps the connection open",
    ),
    "accept": (
        "s = socket.socket()\ns.bind(('0.0.0.0', 8443))\ns.listen(1)\ns.accept()",
        "accept() waits for a client, and nobody has called on port 8443",
    ),
    "handshake": (
        "insecure('slow')",
        "slow.lan:443 says nothing more in the handshake, after the camera's ClientHello",
    ),
    "sleep": (
        "import time\nwhile True:\n    time.sleep(1)",
        "the script sleeps, again and again or for longer than the time limit",
    ),
    "loop": (
        "n = 0\nwhile True:\n    n += 1",
        "the script computes without an end, at `n += 1`",
    ),
}


@pytest.mark.parametrize("name", WAITS)
def test_where_a_script_waits(name: str, tmp_path: Path, image: Path) -> None:
    script, sentence = WAITS[name]
    whole = TLS.lstrip("\n") + script
    seconds = 1 if name == "loop" else 4  # what computes costs the host
    cause = told(tmp_path / "out", whole, world(), limit=seconds)
    assert cause.rpartition(" (script line ")[0] == sentence, cause
    detail = json.loads((tmp_path / "out/result.json").read_text())["detail"].splitlines()
    assert detail[0] == f"the script's end did not come within {seconds} s of virtual time"
    assert detail[1] == "Traceback (most recent call last):"


#: what the world lacks, the script, and what is told
WORLDS = {
    "no DHCP": (
        "[dhcp]\nenabled = false\n", "connect('good')",
        "the camera has no address: the scenario's DHCP server is off (script line 4)",
    ),
    "no DHCP's answer": (
        "[[rule]]\nmatch = 'UDP.sport == 67'\naction = 'drop'\n",
        "import network, time\nn = network.LAN()\nwhile not n.isconnected():\n    time.sleep(0.1)",
        "the camera has no address: nobody answered its 4 DHCP DISCOVER (script line 20)",
    ),
    "no DNS": (
        "[dns]\nenabled = false\n", "connect('good')",
        "nobody answered the DNS question for 'good.lan': the scenario's DNS server is off "
        "(script line 4)",
    ),
    "no cable": (
        "[[fault]]\nkind = 'link_down'\n", "s = socket.socket()\ns.connect(('192.168.1.10', 443))",
        "the cable is out: the scenario takes the link away (script line 18)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WORLDS)
def test_what_the_world_lacks(name: str, tmp_path: Path, image: Path) -> None:
    more, script, sentence = WORLDS[name]
    assert told(tmp_path / "out", TLS.lstrip("\n") + script, world(more), limit=20) == sentence


@pytest.mark.parametrize("how", ["machine.reset()", "deepsleep(*[])"])
def test_a_reset_by_the_script(how: str, tmp_path: Path, image: Path) -> None:
    script = f"import machine\ndeepsleep = machine.reset\n{how}\n"
    sentence = "the script has reset the camera, and nothing runs there any more (script line 3)"
    assert told(tmp_path / "out", script, scenarios.default()) == sentence
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert (result["outcome"], result["exit_code"]) == ("reset", 1)
    assert result["virtual_ns"] < SECOND


def test_a_fault_in_words(tmp_path: Path, image: Path) -> None:
    script = "import machine, socket\nsocket.getaddrinfo('example.com', 1)\n"
    script += "machine.mem32[0x90000000]\n"
    cause = told(tmp_path / "out", script, scenarios.default())
    line = re.search(r"modmachine.c:\d+|machine_mem.c:\d+", cause)
    assert line and cause == (
        f"the firmware took a BusFault in machine_mem_subscr ({line[0]}): it accessed an address "
        "where nothing is (BFAR=0x90000000)"
    )
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert [line.split(" s ")[1] for line in result["wire"][-2:]] == [
        "camera > gateway: DNS query example.com",
        "gateway > camera: DNS example.com is 93.184.215.14",
    ]
    registers = result["fault"]["r"]
    stacked = f"pc={registers[15]:08X} xPSR={result['fault']['xpsr']:08X}</code>"
    assert stacked in (tmp_path / "out/report.html").read_text()
    stack = result["stack"]
    functions = [place.split(" (")[0] for place in stack]
    assert all(re.fullmatch(r"\w+ \([\w.]+:\d+\)", place) for place in stack), stack
    assert functions[:4] == [
        "machine_mem_subscr", "mp_obj_subscr", "mp_execute_bytecode", "fun_bc_call",
    ]  # fmt: skip
    assert functions[-3:] == ["pyexec_raw_repl", "main", "Reset_Handler"]


def test_rows_open_to_what_their_frames_say(tmp_path: Path, image: Path) -> None:
    """Values from the scenario, IANA's numbers and what tshark shows of the same frames."""
    script = (ROOT / "firmware/examples/tls_client.py").read_text()
    told(tmp_path / "out", script, scenarios.named("expired"))
    page = str(markupsafe.Markup((tmp_path / "out/report.html").read_text()).unescape())
    rows = dict(re.findall(r"frame.number==(\d+)</code></p><pre>(.*?)</pre>", page, re.DOTALL))
    hello = next(text for text in rows.values() if text.startswith("ClientHello"))
    assert "  versions: 0x0303\n  server name: example.com\n" in hello
    assert "  suite: 0xC02C ECDHE-ECDSA-AES256-GCM-SHA384\n" in hello
    flight = next(text for text in rows.values() if text.startswith("ServerHello"))
    assert "CN=example.com, issued by CN=Testbed Root CA\n    2025-05-15 to 2026-05-15" in flight
    assert flight.endswith("ServerHelloDone\n  0 bytes")
    assert any("qname     = b'example.com.'" in text for text in rows.values())


def test_what_nobody_knows_tells_the_last_words(tmp_path: Path, image: Path) -> None:
    script = "import socket\nsocket.getaddrinfo('example.com', 1)\n1 / 0\n"
    cause = told(tmp_path / "out", script, scenarios.default())
    assert cause == (
        "ZeroDivisionError: divide by zero (script line 3); the camera's last word: DNS query "
        "example.com, to gateway; the network's: DNS example.com is 93.184.215.14, from gateway"
    )


def test_what_passes_has_no_cause(tmp_path: Path, image: Path) -> None:
    with Testbed(out=tmp_path / "out") as testbed:
        testbed.play(b"print(1)", SECOND)
    assert json.loads((tmp_path / "out/result.json").read_text())["cause"] == ""
    assert 'class="cause"' not in (tmp_path / "out/report.html").read_text()
