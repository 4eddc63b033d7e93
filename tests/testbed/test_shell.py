"""omvsim shell: scapy on the camera's cable."""

import subprocess
import sys
from pathlib import Path

import pytest
from program import ROOT, Run


def probe(omvsim: Run, tmp_path: Path, text: str) -> "subprocess.CompletedProcess[str]":
    script = tmp_path / "probe.py"
    script.write_text(text)
    return omvsim("shell", script)


def test_sr1(omvsim: Run, tmp_path: Path, image: Path) -> None:
    done = probe(
        omvsim, tmp_path,
        "print(arp())\n"
        "print(sr1(IP(dst=ip)/ICMP())[ICMP].type)\n"
        "camera.exec('import socket; s=socket.socket()\\n"
        "s.bind(socket.getaddrinfo(\"0.0.0.0\",80)[0][-1]); s.listen(1)')\n"
        "for port in (80, 81):\n"
        "    print(sr1(IP(dst=ip)/TCP(sport=4000, dport=port, flags='S'))[TCP].flags)\n"
        "print(sr1(IP(dst='192.168.1.99')/ICMP(), timeout=1))\n",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    mac, *rest = done.stdout.split()
    assert mac.startswith("02:") and rest == ["0", "SA", "RA", "None"]


def test_sniff_hears_what_the_camera_says(omvsim: Run, tmp_path: Path, image: Path) -> None:
    done = probe(
        omvsim, tmp_path,
        "ask = 'import network; lan = network.LAN(); lan.active(False); lan.active(True)'\n"
        "heard = sniff(timeout=8, stop_filter=lambda p: UDP in p and p[UDP].sport == 67,\n"
        "              started_callback=lambda: camera.exec(ask))\n"
        "print([p[UDP].dport for p in heard if UDP in p])\n",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ports = eval(done.stdout)
    assert 67 in ports and 68 in ports, "a DHCP client and its server"


def test_a_script_that_raises(omvsim: Run, tmp_path: Path, image: Path) -> None:
    done = probe(omvsim, tmp_path, "1/0\n")
    assert done.returncode == 1 and "ZeroDivisionError" in done.stderr


def test_a_prompt(image: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "omvsim", "shell"], input="print(6 * 7, camera.ping() < 10**9)\n",
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and "42 True" in done.stdout
    assert "Scapy is on its cable" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(["nowhere.py"], "nowhere.py: no such script"), (["--scenario", "none"], "no scenario")],
)
def test_bad_input(arguments: list[str], complaint: str, omvsim: Run, image: Path) -> None:
    done = omvsim("shell", *arguments)
    assert done.returncode == 2 and complaint in done.stderr
