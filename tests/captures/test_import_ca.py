"""omvsim import --ca: the recorded chain against the device's authority, and the same failure."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
from omvsim.conversations import talks
from omvsim.testbed import SECOND, ScriptError, Testbed
from scapy.layers.dot11 import Dot11, RadioTap
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.layers.ppp import PPP, PPPoE, PPPoED
from scapy.packet import Packet
from scapy.utils import wrpcap
from worlds import TLS, world

from netsim import scenario as scenarios
from netsim.tls.certificates import Authority

Run = Callable[..., subprocess.CompletedProcess[str]]

#: what the camera called, what import says of it, and the cause of the imported run
FOUND = {
    "short": (
        "short.lan sends its certificate without the intermediate 'Middle CA'; ca.pem holds only "
        "'Test CA'; the device broke off with unknown_ca after ServerHelloDone",
        "short.lan sends its certificate without the intermediate 'Middle CA'; ca.der holds only "
        "'Test CA'",
    ),
    "old": (
        "old.lan's certificate expired 2026-05-15; the camera's clock says 2026-06-15; the device "
        "broke off with certificate_expired after ServerHelloDone",
        "old.lan's certificate expired 2026-05-15; the camera's clock says 2026-06-15",
    ),
    "good": (
        "good.lan:443's certificates lead to the authority, and were valid for its name; the "
        "handshake came to its end",
        "",
    ),
    "whole": (
        "whole.lan:443's certificates lead to the authority, and were valid for its name; the "
        "handshake came to its end",
        "",
    ),
    "mutual": (
        "the script asks for 'mutual.lan', and mutual.lan:443's certificate is for 'good.lan'; the "
        "device broke off with bad_certificate after ServerHelloDone",
        "the script asks for 'mutual.lan', and mutual.lan:443's certificate is for 'good.lan'",
    ),
}
WHOLE = """
[certificates.whole]
issuer = "middle"
names = ["whole.lan"]
[[server]]
kind = "tls"
name = "whole.lan"
address = "192.168.1.8"
port = 443
certificate = "whole"
"""


@pytest.mark.parametrize("name", FOUND)
def test_the_chain_and_the_same_failure(
    name: str, omvsim: Run, tmp_path: Path, image: Path
) -> None:
    verdict, cause = FOUND[name]
    first = world(WHOLE)
    with suppress(ScriptError), Testbed(scenario=first, out=tmp_path / "a") as testbed:
        testbed.play(f"{TLS.lstrip()}s = secure({name!r})\ns.write(b'hi')\ns.close()".encode(),
                     20 * SECOND)  # fmt: skip
    (tmp_path / "ca.pem").write_bytes(Authority(first)["ca"].pem)
    out, script = tmp_path / "made.toml", tmp_path / "made.py"
    done = omvsim("import", "--ca", tmp_path / "ca.pem", "--out", out, tmp_path / "a/net.pcapng")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == [verdict, f"next: omvsim run --scenario {out} {script}"]
    raises = pytest.raises(ScriptError) if cause else nullcontext()
    with raises, Testbed(scenario=scenarios.load(out), out=tmp_path / "b") as testbed:
        testbed.play(script.read_bytes(), 20 * SECOND)
    again = json.loads((tmp_path / "b/result.json").read_text())["cause"]
    assert again.rpartition(" (script line ")[0] == cause, again


def test_an_authority_of_the_same_name_is_another(omvsim: Run, tmp_path: Path, image: Path) -> None:
    first = world()
    with Testbed(scenario=first, out=tmp_path / "a") as testbed:
        testbed.play(f"{TLS.lstrip()}secure('good')".encode(), 20 * SECOND)
    (tmp_path / "twin.der").write_bytes(Authority(first)["twin"].der)
    done = omvsim(
        "import", "--ca", tmp_path / "twin.der", "--out", tmp_path / "b.toml",
        tmp_path / "a/net.pcapng",
    )  # fmt: skip
    assert done.stdout.splitlines()[1] == (
        "twin.der holds another 'Test CA' than the 'Test CA' that signed good.lan's certificate: "
        "their keys differ; the handshake came to its end"
    )
    done = omvsim("run", "--out", tmp_path / "c", "--scenario", tmp_path / "b.toml",
                  tmp_path / "b.py")  # fmt: skip
    assert "another 'Test CA' than the 'Test CA'" in done.stderr


def test_no_authority_is_one_line(omvsim: Run, tmp_path: Path) -> None:
    (tmp_path / "x.der").write_bytes(b"x")
    for name, said in (("x.der", "no certificate in PEM or DER"), ("nix", "No such file")):
        done = omvsim("import", "--ca", tmp_path / name, tmp_path / "a.pcapng")
        assert done.returncode == 2
        assert done.stderr.startswith(f"omvsim: --ca {tmp_path / name}: {said}"), done.stderr
        assert len(done.stderr.splitlines()) == 1


def spoken(
    client: str, server: str, said: bytes = b"hello\n", layer: type[Packet] = IP
) -> list[Packet]:
    """A connection in which both ends say something."""
    there = Ether() / layer(src=client, dst=server)
    back = Ether() / layer(src=server, dst=client)
    up, down = {"sport": 4000, "dport": 25}, {"sport": 25, "dport": 4000}
    packets = [
        there / TCP(**up, flags="S", seq=0), back / TCP(**down, flags="SA", seq=0, ack=1),
        there / TCP(**up, flags="A", seq=1, ack=1),
        there / TCP(**up, flags="PA", seq=1, ack=1) / said,
        back / TCP(**down, flags="PA", seq=1, ack=1 + len(said)) / b"220 ok\n",
        there / TCP(**up, flags="FA", seq=1 + len(said), ack=8),
    ]  # fmt: skip
    for number, packet in enumerate(packets):
        packet.time = 1_750_000_000 + number / 1000
    return packets


def test_a_loopback_gets_a_second_address(omvsim: Run, tmp_path: Path, image: Path) -> None:
    wrpcap(str(tmp_path / "a.pcap"), spoken("127.0.0.1", "127.0.0.1"))
    done = omvsim("import", tmp_path / "a.pcap")
    assert done.returncode == 0, done.stderr
    told = "127.0.0.1, which is both ends: 192.168.1.100 stands for who calls, 192.168.1.2 for who "
    assert done.stderr.splitlines()[0] == f"not carried over: {told}is called"
    (server,) = scenarios.load(tmp_path / "a.toml").servers
    assert (str(server.address), server.port, server.greeting) == ("192.168.1.2", 25, "220 ok\n")
    done = omvsim("run", "--scenario", tmp_path / "a.toml", "--out", tmp_path / "b",
                  tmp_path / "a.py")  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "7 bytes\n")


def test_a_capture_in_gzip(omvsim: Run, tmp_path: Path) -> None:
    wrpcap(str(tmp_path / "a.pcap"), spoken("10.0.0.5", "10.0.0.9"))
    (tmp_path / "a.pcap.gz").write_bytes(gzip.compress((tmp_path / "a.pcap").read_bytes()))
    for name in ("a.pcap", "a.pcap.gz"):
        done = omvsim("import", "--out", tmp_path / f"{name}.toml", tmp_path / name)
        assert done.returncode == 0, done.stderr
    one, two = ((tmp_path / f"{n}.toml").read_text() for n in ("a.pcap", "a.pcap.gz"))
    assert one == two.replace("a.pcap.gz", "a.pcap")


def test_what_is_not_read_is_told(omvsim: Run, tmp_path: Path) -> None:
    wrpcap(str(tmp_path / "a.pcap"), spoken("fd00::5", "fd00::9", layer=IPv6))
    done = omvsim("import", tmp_path / "a.pcap")
    assert done.returncode == 2
    assert done.stderr.endswith("; only IPv4 is read, and it holds 6 of IPv6\n")


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (RadioTap() / Dot11(type=2) / bytes(20), "Wi-Fi (encrypted, or its management)"),
        (Ether() / PPPoED(), "PPPoE's discovery"),
        (Ether() / PPPoE(len=6) / PPP(proto=0xC021) / bytes(4), "PPPoE"),
    ],
)
def test_what_is_not_read_has_its_name(
    frame: Packet, words: str, omvsim: Run, tmp_path: Path
) -> None:
    wrpcap(str(tmp_path / "a.pcap"), [frame] * 3)
    done = omvsim("import", tmp_path / "a.pcap")
    assert done.returncode == 2
    assert done.stderr.endswith(f"; only IPv4 is read, and it holds 3 of {words}\n")


def test_pppoe_is_read(omvsim: Run, tmp_path: Path) -> None:
    inside = spoken("10.0.0.7", "10.0.0.9")
    frames = [Ether() / PPPoE() / PPP() / frame[IP] for frame in inside]
    for frame, plain in zip(frames, inside, strict=True):
        frame.time = plain.time
    wrpcap(str(tmp_path / "a.pcap"), frames)
    wrpcap(str(tmp_path / "b.pcap"), inside)
    for name in ("a", "b"):
        assert omvsim("import", tmp_path / f"{name}.pcap").returncode == 0
    made = [(tmp_path / f"{name}.toml").read_text().partition("\n")[2] for name in ("a", "b")]
    assert made[0] == made[1]


def test_starttls_is_told(omvsim: Run, tmp_path: Path) -> None:
    wrpcap(str(tmp_path / "a.pcap"), spoken("10.0.0.5", "10.0.0.9", b"STARTTLS\r\n"))
    done = omvsim("import", tmp_path / "a.pcap")
    assert "10.0.0.9:25: STARTTLS: the TLS behind it is taken as text" in done.stderr


def test_a_hello_of_dtls_in_fragments_is_one() -> None:
    """RFC 6347 section 4.2.3: only a fragment at offset 0 begins a message."""
    head = bytes.fromhex("16fefd 0000 000000000000 0020 01 000064 0000")
    assert talks.starts_dtls(head + bytes(3) + bytes(20))
    assert not talks.starts_dtls(head + b"\0\0\x20" + bytes(20))
