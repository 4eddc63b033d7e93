"""--forward and --reach: programs of this computer and the camera, through real sockets."""

import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from program import ROOT, Run, Start

from netsim.scenario import loads
from netsim.tls.certificates import Authority

WORLD = """
[camera]
rtc = 2026-06-15T12:00:00Z
[camera.files]
"server.der" = { certificate = "server" }
"server.key" = { key = "server" }
"ca.der" = { certificate = "server" }
[certificates.server]
names = ["real.lan", "dtls.example.com"]
"""
ECHO = """
import socket, ssl
sock = socket.socket()
sock.connect(socket.getaddrinfo("real.lan", {port})[0][-1])
ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ctx.verify_mode = {verify}
ctx.load_verify_locations(cafile="ca.der")
s = ctx.wrap_socket(sock, server_hostname="real.lan")
piece = bytes(range(256)) * 16
for _ in range({pieces}):
    s.write(piece)
    assert s.read(len(piece)) == piece
print("echoed", {pieces} * len(piece))
s.close()
"""
#: s_server -rev sends each line back, last letter first
REVERSED = 's.write(b"local\\n")\nprint(s.read(5))\ns.close()'


MQTT_WORLD = """
time = 2026-06-15T12:00:00Z
[camera]
rtc = 2026-06-15T12:00:00Z
[camera.files]
"ca.der" = { certificate = "ca" }
"camera.der" = { certificate = "camera" }
"camera.key" = { key = "camera" }
[certificates.ca]
ca = true
[certificates.broker]
issuer = "ca"
names = ["broker.lan"]
[certificates.camera]
issuer = "ca"
common_name = "camera-7"
"""


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def world(tmp_path: Path) -> Path:
    path = tmp_path / "world.toml"
    path.write_text(WORLD)
    made = Authority(loads(WORLD))["server"]
    (tmp_path / "server.pem").write_bytes(made.key_pem + made.pem)
    return path


@pytest.fixture
def served(start: Start, world: Path, image: Path) -> Iterator[Callable[..., int]]:
    """served(example, camera_port) is a port here that leads to the example's."""

    def run(example: str, camera_port: int, udp: str = "") -> int:
        port = free_port(socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
        start(
            "run", "--scenario", world, "--forward", f"{port}:{camera_port}{udp}",
            "--time-limit", "10m", "--out", world.parent / "run",
            ROOT / "firmware/examples" / example,
        )  # fmt: skip
        return port

    yield run


@pytest.fixture
def start_program() -> Iterator[Callable[[list[object], int], None]]:
    """start_program(command, port) comes back when somebody listens on the port."""
    running: list[subprocess.Popen[bytes]] = []

    def start(command: list[object], port: int) -> None:
        running.append(subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL))
        for _ in range(100):
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise TimeoutError(f"nobody listens on {port}: {command}")

    yield start
    for program in running:
        program.terminate()
        program.wait(10)


def until_it_listens(attempt: Callable[[], str], wanted: str) -> str:
    """The camera needs a moment until its script runs."""
    told = ""
    for _ in range(40):
        if wanted in (told := attempt()):
            break
        time.sleep(0.25)
    return told


def test_curl_and_s_client_reach_the_cameras_server(
    served: Callable[..., int], world: Path
) -> None:
    """Both verify the camera, and by another name they refuse it."""
    port = served("tls_server.py", 8443)
    ca = world.with_name("server.pem")

    def s_client(name: str) -> str:
        done = subprocess.run(
            ["openssl", "s_client", "-quiet", "-ign_eof", "-connect", f"127.0.0.1:{port}",
             "-CAfile", ca, "-verify_return_error", "-verify_hostname", name],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        return done.stdout

    for _ in range(3):
        assert until_it_listens(lambda: s_client("real.lan"), "hello") == "hello\n"
    done = subprocess.run(
        ["curl", "-s", "--http0.9", "--cacert", ca, "--resolve", f"real.lan:{port}:127.0.0.1",
         f"https://real.lan:{port}/"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.stdout == "hello\n", "the greeting is no HTTP, but all that there is"
    assert s_client("other.lan") == ""


def test_dtls_reaches_the_cameras_server(served: Callable[..., int]) -> None:
    port = served("dtls_server.py", 5684, "/udp")

    def s_client() -> str:
        program = subprocess.Popen(
            ["openssl", "s_client", "-dtls1_2", "-quiet", "-connect", f"127.0.0.1:{port}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        try:
            return program.communicate(timeout=4)[0]
        except subprocess.TimeoutExpired:
            program.kill()
            return program.communicate()[0]

    assert until_it_listens(s_client, "hello") == "hello\n"


def test_the_camera_verifies_s_server(
    omvsim: Run, world: Path, tmp_path: Path, image: Path,
    start_program: Callable[[list[object], int], None],
) -> None:  # fmt: skip
    port, certificate = free_port(), world.with_name("server.pem")
    start_program(
        ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", certificate, "-rev",
         "-quiet"], port,
    )  # fmt: skip
    script = tmp_path / "reverse.py"
    script.write_text(ECHO.format(port=port, verify=2, pieces=0).replace("s.close()", REVERSED))
    done = omvsim(
        "run", "--scenario", world, "--reach", f"real.lan=127.0.0.1:{port}",
        "--time-limit", "1m", "--out", tmp_path / "run", script,
    )  # fmt: skip
    assert done.stdout == "echoed 0\nb'lacol'\n", done.stderr
    assert done.returncode == 0


def test_the_camera_speaks_dtls_with_s_server(
    omvsim: Run, world: Path, tmp_path: Path, image: Path
) -> None:
    port, certificate = free_port(socket.SOCK_DGRAM), world.with_name("server.pem")
    script = tmp_path / "dtls.py"
    script.write_text(f"""
import socket, ssl
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect(socket.getaddrinfo("real.lan", {port})[0][-1])
ctx = ssl.SSLContext(ssl.PROTOCOL_DTLS_CLIENT)
ctx.verify_mode = ssl.CERT_REQUIRED
ctx.load_verify_locations(cafile="ca.der")
s = ctx.wrap_socket(sock, server_hostname="real.lan")
s.write(b"from the camera\\n")
""")
    with subprocess.Popen(
        ["openssl", "s_server", "-dtls1_2", "-accept", f"127.0.0.1:{port}", "-cert", certificate,
         "-quiet"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        try:
            done = omvsim(
                "run", "--scenario", world, "--reach", f"real.lan=127.0.0.1:{port}/udp",
                "--time-limit", "1m", "--out", tmp_path / "run", script,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert server.stdout is not None
            assert server.stdout.readline() == "from the camera\n"
        finally:
            server.terminate()


def echo_server(world: Path, listener: socket.socket) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(world.with_name("server.pem"))
    accepted, _ = listener.accept()
    with context.wrap_socket(accepted, server_side=True) as stream:
        while data := stream.recv(65536):
            stream.sendall(data)


@pytest.mark.parametrize("pieces", [1, 64])
def test_the_camera_reaches_a_server_here(
    pieces: int, omvsim: Run, world: Path, tmp_path: Path, image: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=echo_server, args=(world, listener), daemon=True)
        thread.start()
        script = tmp_path / "echo.py"
        script.write_text(ECHO.format(port=port, verify=0, pieces=pieces))
        done = omvsim(
            "run", "--scenario", world, "--reach", f"real.lan=127.0.0.1:{port}",
            "--time-limit", "1m", "--out", tmp_path / "run", script,
        )  # fmt: skip
        thread.join(10)
    assert done.stdout == f"echoed {pieces * 4096}\n", done.stderr
    assert done.returncode == 0


def test_the_camera_talks_mqtt_to_mosquitto(
    omvsim: Run, start_program: Callable[..., None], tmp_path: Path, image: Path
) -> None:
    """A real broker, which demands the camera's certificate and takes its name from it."""
    world = tmp_path / "world.toml"
    world.write_text(MQTT_WORLD)
    made = Authority(loads(MQTT_WORLD))
    (tmp_path / "ca.pem").write_bytes(made["ca"].pem)
    (tmp_path / "broker.pem").write_bytes(made["broker"].pem)
    (tmp_path / "broker.key").write_bytes(made["broker"].key_pem)
    port = free_port()
    config = tmp_path / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\ncafile {tmp_path}/ca.pem\ncertfile {tmp_path}/broker.pem\n"
        f"keyfile {tmp_path}/broker.key\nrequire_certificate true\nuse_identity_as_username true\n"
        f"user root\nlog_dest file {tmp_path}/mosquitto.log\n"
    )
    start_program(["/usr/sbin/mosquitto", "-c", config], port)
    script = tmp_path / "mqtt.py"
    script.write_text((Path(__file__).parent / "mqtt.py").read_text().replace("8883", str(port)))
    done = omvsim(
        "run", "--scenario", world, "--reach", f"broker.lan=127.0.0.1:{port}", "--time-limit",
        "1m", "--out", tmp_path / "run", script,
    )  # fmt: skip
    assert done.stdout == "frame 19\n", done.stderr + (tmp_path / "mosquitto.log").read_text()
    log = (tmp_path / "mosquitto.log").read_text()
    assert "as camera (p2, c1, k60, u'camera-7')" in log, log
    assert "Client camera disconnected." in log


def test_nobody_there_is_a_refused_connection(omvsim: Run, world: Path, tmp_path: Path) -> None:
    script = tmp_path / "echo.py"
    port = free_port()
    script.write_text(ECHO.format(port=port, verify=0, pieces=1))
    done = omvsim(
        "run", "--scenario", world, "--reach", f"real.lan=127.0.0.1:{port}", "--out",
        tmp_path / "run", script,
    )  # fmt: skip
    assert done.returncode == 1 and "OSError" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--forward", "8443"], "'8443' is no forwarding: write 8443:443"),
        (["--forward", "99999:1"], "is no forwarding"),
        (["--reach", "real.lan"], "'real.lan' reaches nothing: write broker.lan=127.0.0.1:8883"),
        (["--reach", "a=nowhere.invalid:1"], "--reach a: nowhere.invalid: "),
    ],
)
def test_bad_input(
    arguments: list[str], complaint: str, omvsim: Run, example: Path, tmp_path: Path, image: Path
) -> None:
    done = omvsim("run", *arguments, "--out", tmp_path / "run", example)
    assert done.returncode == 2 and complaint in done.stderr and "Traceback" not in done.stderr


def test_an_occupied_port(omvsim: Run, example: Path, tmp_path: Path, image: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = omvsim("run", "--forward", f"{port}:443", "--out", tmp_path / "run", example)
    assert done.returncode == 2
    assert f"--forward 127.0.0.1:{port}: Address already in use: choose another" in done.stderr


def test_a_tap_device(start: Start, tmp_path: Path, image: Path) -> None:
    """In a network namespace of its own: the kernel connects to the camera."""
    if os.geteuid():
        pytest.skip("a TAP device needs root")
    script = tmp_path / "wait.py"
    script.write_text(
        "import socket\ns = socket.socket()\n"
        "s.bind(socket.getaddrinfo('0.0.0.0', 80)[0][-1])\ns.listen(1)\n"
        "while True: c, a = s.accept(); c.write(b'hello'); c.close()\n"
    )
    ask = "import socket; print(socket.create_connection(('192.168.1.100', 80), 10).recv(5))"
    inside = f"""
        {sys.executable} -m omvsim run --tap omv0 --time-limit 2m --out {tmp_path}/run {script} &
        for i in $(seq 200); do ip link show omv0 >/dev/null 2>&1 && break; sleep 0.1; done
        ip address add 192.168.1.200/24 dev omv0 && ip link set omv0 up
        code=1
        for i in 1 2 3 4 5; do
            sleep 1; {sys.executable} -c "{ask}"; code=$?; [ $code = 0 ] && break
        done
        kill -INT %1; wait %1; exit $code
    """
    done = subprocess.run(
        ["unshare", "-n", "bash", "-c", inside], cwd=ROOT, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if "unshare failed" in done.stderr:
        pytest.skip("no network namespaces")
    assert done.returncode == 0 and "b'hello'" in done.stdout, done.stdout + done.stderr


def test_a_tap_that_cannot_be(omvsim: Run, example: Path, tmp_path: Path, image: Path) -> None:
    done = omvsim("run", "--tap", "a-name-too-long-for-linux", "--out", tmp_path / "run", example)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "--tap a-name-too-long-for-linux: " in done.stderr and "ip tuntap add" in done.stderr
