"""Scenarios: what is read, and the one line that tells what is wrong."""

import random
import tomllib
from dataclasses import fields
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

import pytest

import netsim
from netsim import scenario
from netsim.errors import ScenarioError, UserError
from netsim.scenario.toml_lines import key_lines
from netsim.stack.rto import SECOND

SERVER = '[[server]]\nkind = "http"\nname = "a"\naddress = "1.2.3.4"\n'
WITH_MORE = """
[dns.zone]
"x.y" = "1.1.1.1"
[[client]]
kind = "tls"
name = "pc"
address = "192.168.1.50"
port = 8443
verify = "ca"
certificate = "example"
server_name = "camera.local"
versions = ["TLSv1.2", "TLSv1.3"]
[[server]]
kind = "dtls"
name = "d"
address = "192.168.1.51"
certificate = "example"
"""


def test_default_is_what_its_file_says() -> None:
    world = scenario.default()
    assert world.time == datetime(2026, 6, 15, 12, tzinfo=UTC)
    assert world.camera.rtc == datetime(2000, 1, 1, tzinfo=UTC)
    assert [(s.kind, s.name, s.listening_port) for s in world.servers] == [
        ("ntp", "pool.ntp.org", 123),
        ("https", "example.com", 443),
    ]
    assert tomllib.loads(world.text)["seed"] == 1


@pytest.mark.parametrize("name", ["default", "unknown_ca", "wrong_name", "expired"])
def test_packaged_scenarios_can_be_built(name: str) -> None:
    world = scenario.named(name)
    netsim.build(world).close()
    assert netsim.camera_files(world)["ca.der"][:1] == b"\x30"


def test_times_without_zone_are_utc() -> None:
    assert scenario.loads("time = 2026-01-02T03:04:05").time.tzinfo is UTC
    assert scenario.loads("time = 2026-01-02T03:04:05+02:00").time.hour == 1


def test_an_empty_scenario_is_a_world() -> None:
    assert scenario.loads("").network.gateway == IPv4Address("192.168.1.1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[[server]]\nkind = "tcp"\nname = "a"\naddress = "10.0.0.1"\nsize = 4294967295',
            "5: server.0.size: is more than a peer holds, write up to 268435456",
        ),
        ("sed = 1", "1: sed: unknown key, did you mean seed?"),
        ("\n[camera]\nlnik = true", "3: camera.lnik: unknown key, did you mean link?"),
        ("[zebra]", "1: zebra: unknown key, use one of seed, time, camera"),
        ('seed = "x"', "1: seed: wrong type, write a whole number"),
        ("seed = true", "1: seed: wrong type, write a whole number"),
        ("[camera]\nlink = 1", "2: camera.link: wrong type, write true or false"),
        ("camera = 1", "1: camera: wrong type, write a table"),
        ('[network]\ngateway = "192.168.1.300"', "2: network.gateway: '192.168.1.300' is no IPv4"),
        ('[network]\nsubnet = "192.168.1.1/24"', "2: network.subnet: '192.168.1.1/24' is no IPv4"),
        ('[network]\ngateway = "10.0.0.1"', "2: network.gateway: lies outside 192.168.1.0/24"),
        ("[network]\nrate_mbit = 0", "2: network.rate_mbit: a link of 0 Mbit/s"),
        ('[dhcp]\nfirst = "10.0.0.1"', "2: dhcp.first: lies outside 192.168.1.0/24"),
        ('[dhcp]\nlast = "192.168.1.99"', "2: dhcp.last: lies before first"),
        ("[dhcp]\nlease_s = -1", "2: dhcp.lease_s: -1 is out of range, write 0 to 4294967295"),
        ("[dhcp]\nlease_s = 4294967296", "2: dhcp.lease_s: 4294967296 is out of range"),
        ("time = 1969-01-01T00:00:00Z", "1: time: a capture holds the years 1970 to 2499"),
        (
            SERVER.replace("server", "client").replace("http", "tcp") + "port = 1\nretry_ms = 0",
            "6: client.0.retry_ms: lets no time pass, write 1 or more",
        ),
        ('[dns.zone]\n"a.b" = "x"', "2: dns.zone.a.b: 'x' is no IPv4 address, and no name that"),
        ('[dns.zone]\n"a.b" = "a.b"', "2: dns.zone.a.b: 'a.b' is no IPv4 address, and no name"),
        ('[dns.zone]\n"a.b" = []', "2: dns.zone.a.b: no list of addresses, write one like ["),
        ('[dns.zone]\n"a.b" = ["x"]', "2: dns.zone.a.b: 'x' is no IPv4 address, write one like"),
        (SERVER + "[server.pages.x]", "5: server.0.pages.x: a path starts"),
        (
            SERVER + '[server.pages."/"]\nstatus = 99',
            "6: server.0.pages./.status: 99 is none",
        ),
        (
            SERVER + '[server.pages."/"]\nheaders = {"a b" = ""}',
            "6: server.0.pages./.headers: no header of HTTP",
        ),
        (
            SERVER + '[server.pages."/"]\nheaders = {content-Length = "9"}',
            "6: server.0.pages./.headers: content-length follows from body and chunk_size",
        ),
        (
            SERVER.replace("http", "tcp") + '[server.pages."/"]',
            "5: server.0.pages./: kind tcp",
        ),
        (SERVER + 'starttls = "smtp"', "5: server.0.starttls: goes with kind tls that neither"),
        ('[[server]]\nkind = "http"', "1: server.0: name is missing, add name = ..."),
        (SERVER + "\n" + SERVER, "9: server.1.address: a has this address and port too"),
        (SERVER.replace("http", "ftp"), "2: server.0.kind: 'ftp' is unknown, write one of https"),
        (SERVER.replace("http", "tls"), "1: server.0: certificate is missing"),
        (SERVER + "mss = 9000", "5: server.0.mss: Ethernet's segments hold 64 to 1460 bytes"),
        (SERVER + "port = 0", "5: server.0.port: 0 is no port"),
        (SERVER + 'versions = "TLSv1.2"', "5: server.0.versions: wrong type, write a list"),
        (SERVER + "versions = []", "5: server.0.versions: is empty, name at least one version"),
        (SERVER + 'versions = ["SSLv3"]', "5: server.0.versions.0: 'SSLv3' is unknown"),
        (SERVER + 'verify = "nobody"', "5: server.0.verify: no certificate is called nobody"),
        (SERVER.replace("1.2.3.4", "192.168.1.1"), "4: server.0.address: is the gateway's"),
        (SERVER.replace("1.2.3.4", "192.168.1.150"), "4: server.0.address: lies in the DHCP"),
        (SERVER.replace('"a"', '"camera"'), "3: server.0.name: camera is taken"),
        ('[camera.files]\nx = { path = "no.bin" }', "2: camera.files.x: there is no file no.bin"),
        ("[camera.files]\nx = {}", "2: camera.files.x: write exactly one of text, path"),
        ('[camera.files]\nx = { certificate = "c" }', "2: camera.files.x: no certificate is"),
        (
            '[certificates.a]\nfile = "a.pem"',
            "2: certificates.a.file: there is no certificate file",
        ),
        ('[certificates.a]\nissuer = "b"', "2: certificates.a.issuer: no certificate is called b"),
        ('[certificates.a]\nissuer = "a"', "2: certificates.a.issuer: the issuers go round"),
        ("[certificates.a]\nnot_after = 2000-01-01T00:00:00Z", "2: certificates.a.not_after: lies"),
        ("seed = 1\nseed = 2", "2: no valid TOML: cannot overwrite a value"),
        ("a = [", "1: no valid TOML: "),
        ('text = """\n[x]\n"""\nsed = 1', "1: text: unknown key"),
    ],
)
def test_mistakes_are_told_with_line_and_key(text: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        scenario.loads(text, "w.toml")
    assert str(caught.value).startswith(f"w.toml:{message}")
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no\.toml: no such file"):
        scenario.load(tmp_path / "no.toml")
    with pytest.raises(UserError, match="is a directory"):
        scenario.load(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"# \xe9")
    with pytest.raises(UserError, match="not UTF-8"):
        scenario.load(tmp_path / "latin.toml")
    with pytest.raises(UserError, match="no scenario is called nowhere"):
        scenario.named("nowhere")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ('file = "bad.pem"', r"certificates\.a: .*PEM"),
        ('names = ["\\u00e9"]', r"certificates\.a: "),
        (f'common_name = "{"x" * 65}"', r"certificates\.a: "),
    ],
)
def test_bad_certificates_are_one_line(tmp_path: Path, keys: str, message: str) -> None:
    (tmp_path / "bad.pem").write_text("-----BEGIN nonsense")
    text = SERVER.replace("http", "https") + f'certificate = "a"\n[certificates.a]\n{keys}\n'
    (tmp_path / "w.toml").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        netsim.build(scenario.load(tmp_path / "w.toml"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["https", "dtls"])
def test_a_certificate_without_its_key(tmp_path: Path, kind: str) -> None:
    made = netsim.tls.certificates.Authority(scenario.default())
    (tmp_path / "c.pem").write_bytes(made["example"].pem)
    text = SERVER.replace("http", kind) + 'certificate = "a"\n[certificates.a]\nfile = "c.pem"\n'
    with pytest.raises(UserError, match="its private key is needed, add key_file"):
        netsim.build(scenario.loads(text, folder=tmp_path))
    issued = text + '[certificates.b]\nissuer = "a"\n[camera.files]\nf = { key = "b" }\n'
    with pytest.raises(UserError, match=r"certificates\.b: issuer a has no key"):
        netsim.camera_files(scenario.loads(issued, folder=tmp_path))


@pytest.mark.parametrize("kind", ["https", "dtls"])
def test_bad_ciphers(kind: str) -> None:
    text = SERVER.replace("http", kind) + 'certificate = "a"\nciphers = "NONE-SUCH"\n'
    with pytest.raises(UserError, match=r"a: no cipher .*, see its ciphers and certificate"):
        netsim.build(scenario.loads(text + "[certificates.a]\n"))


def test_bad_places_for_the_capture(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="choose another place"):
        netsim.build(scenario.loads(""), tmp_path / "no" / "net.pcapng")


VALUES = ["0", "-1", "true", '"x"', '""', "[]", "{}", "99999999999999999999", '"1.2.3.4"']
VALUES += ["1.5", "2026-01-01", '"ca"', '["a"]']


@pytest.mark.parametrize("seed", range(10))
def test_damaged_scenarios_work_or_are_told_in_one_line(seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(40):
        lines = (scenario.default().text + WITH_MORE).split("\n")
        for _ in range(dice.randrange(1, 4)):
            at, way = dice.randrange(len(lines)), dice.randrange(4)
            key, equals, _ = lines[at].partition("=")
            if way == 0:
                del lines[at]
            elif way == 1:
                lines.insert(at, dice.choice(lines))
            elif way == 2 and equals:
                lines[at] = f"{key}= {dice.choice(VALUES)}"
            elif lines[at]:
                cut = dice.randrange(len(lines[at]))
                lines[at] = lines[at][:cut] + chr(dice.randrange(32, 300)) + lines[at][cut + 1 :]
        try:
            world = scenario.loads("\n".join(lines))
            netsim.camera_files(world)
            with netsim.build(world) as network:
                network.advance(3 * SECOND)
        except UserError as error:
            assert "\n" not in str(error)


def test_lines_of_keys() -> None:
    text = 'a = 1\n[b."c.d"]\ne = """\nx = 1\n"""\nf.g = 2\n[[h]]\n[[h]]\ni = 1 # [z]\n'
    lines = key_lines(text)
    assert lines[("a",)] == 1 and lines[("b", "c.d", "e")] == 3
    assert lines[("b", "c.d", "f", "g")] == 6
    assert lines[("h", 0)] == 7 and lines[("h", 1, "i")] == 9
    assert ("b", "c.d", "x") not in lines


def test_every_key_is_documented() -> None:
    readme = (Path(scenario.__file__).parents[1] / "README.md").read_text()
    for kind in (
        scenario.Scenario,
        scenario.Camera,
        scenario.File,
        scenario.NetworkOptions,
        scenario.Dhcp,
        scenario.Dns,
        scenario.CertificateOptions,
        scenario.Server,
        scenario.Client,
    ):
        names = [f.metadata.get("key", f.name) for f in fields(kind)]
        assert [n for n in names if n and f"`{n}`" not in readme and f"[{n}" not in readme] == []
