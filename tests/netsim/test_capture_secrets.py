"""With the secrets of its sessions a capture tells what was said: OpenSSL's records, our reader."""

import ssl
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from omvsim.captures import secrets
from omvsim.conversations import talks
from omvsim.conversations.talks import Record, Talk
from omvsim.errors import UserError
from scapy.utils import PcapReader
from station import SslClient, Station, lease

import netsim
from netsim import scenario
from netsim.stack.rto import SECOND
from netsim.tls.certificates import Authority
from netsim.tls.openssl import in_memory

WORLD = """
[certificates.ca]
ca = true
[certificates.server]
issuer = "ca"
names = ["a.lan"]
[[server]]
kind = "tls"
name = "a.lan"
address = "192.168.1.9"
certificate = "server"
greeting = "hello "
"""
TEXT = bytes(range(256)) * 200  # in several records
#: in TLS 1.2, where the suite has no name of its own: by OpenSSL's
SUITES = [
    "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES256-CCM", "ECDHE-ECDSA-AES128-CCM8",
    "ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES128-SHA",
]  # fmt: skip


def met(world: scenario.Scenario, folder: Path) -> tuple[Talk, bytes]:
    """The conversation as its capture shows it, and the capture."""
    context = ssl.create_default_context(cadata=Authority(world)["ca"].pem.decode())
    context.set_ciphers("ALL:@SECLEVEL=0")
    with in_memory("keys") as log:
        context.keylog_filename = f"/proc/self/fd/{log.fileno()}"
        with netsim.build(world, folder / "net.pcapng") as network:
            station = Station(network)
            lease(station)
            client = SslClient(context, "a.lan", TEXT)
            station.host.connect(world.servers[0].address, 8443, client, station.now)
            station.run(9 * SECOND)
        assert bytes(client.got) == b"hello " + TEXT
        log.seek(0)
        (folder / "keys.log").write_bytes(log.read())
    with PcapReader(str(folder / "net.pcapng")) as packets:
        [talk], _, _ = talks.conversations(list(packets))
    return talk, (folder / "net.pcapng").read_bytes()


@pytest.mark.parametrize("suite", SUITES)
def test_tls_1_2(suite: str, tmp_path: Path) -> None:
    talk, capture = met(scenario.loads(WORLD + f'ciphers = "{suite}:@SECLEVEL=0"\n'), tmp_path)
    assert talk.said("client") is None
    assert secrets.decrypt(talk, secrets.from_capture(capture)) is False
    assert talk.said("client") == TEXT and talk.said("server") == b"hello " + TEXT
    assert [m.side for m in talk.messages if m.kind == 20] == ["client", "server"]  # Finished


def test_tls_1_3(tmp_path: Path) -> None:
    """Its certificates, too; secrets from the client's own log."""
    world = scenario.loads(WORLD + 'versions = ["TLSv1.3"]\n')
    talk, _ = met(world, tmp_path)
    assert [m.kind for m in talk.messages if m.side == "server"] == [2]
    assert secrets.decrypt(talk, secrets.from_file(tmp_path / "keys.log")) is False
    assert talk.said("client") == TEXT and talk.said("server") == b"hello " + TEXT
    [shown] = [m for m in talk.messages if m.kind == talks.CERTIFICATE]
    assert list(talks.certificates(shown.body)) == [Authority(world)["server"].der]
    kinds = [m.kind for m in talk.messages if m.side == "server"]
    assert kinds == [2, 8, 11, 15, 20]  # RFC 8446 section 4, without a ticket


def test_secrets_of_others_open_nothing(tmp_path: Path) -> None:
    talk, capture = met(scenario.loads(WORLD), tmp_path)
    own = secrets.from_capture(capture)
    wrong = {key: bytes(48) for key in own}
    for known in ({}, wrong, {("CLIENT_RANDOM", bytes(32)): bytes(48)}):
        assert secrets.decrypt(talk, known) is True
        assert talk.said("client") is None
    assert secrets.decrypt(talk, own) is False


def test_a_record_of_padding_only_opens_nothing() -> None:
    """RFC 8446 section 5.4: an implementation must not take it for empty contents."""
    opener = secrets._Tls13(0x1301, bytes(32), bytes(32))
    header = b"\x17\x03\x03\x00\x15"
    body = opener._aead.encrypt(opener._iv, bytes(5), header)
    with pytest.raises(InvalidTag):
        opener.open(Record("client", 0.0, talks.DATA, body, clear=False))
    opener = secrets._Tls13(0x1301, bytes(32), bytes(32))
    body = opener._aead.encrypt(opener._iv, b"hi\x17\0\0", header)
    assert opener.open(Record("client", 0.0, talks.DATA, body, clear=False)) == (23, b"hi")


def test_no_key_log(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("# nothing\nCLIENT_RANDOM zz zz\nCLIENT_RANDOM 00\n")
    with pytest.raises(UserError, match="no secret in it: it is what SSLKEYLOGFILE makes"):
        secrets.from_file(tmp_path / "k")
    with pytest.raises(UserError, match="k2: No such file or directory: name a key log"):
        secrets.from_file(tmp_path / "k2")


@pytest.mark.parametrize("cut", [0, 3, 9, 20, 60, 200])
def test_a_damaged_capture_has_no_secrets(cut: int, tmp_path: Path) -> None:
    capture = met(scenario.loads(WORLD), tmp_path)[1]
    assert secrets.from_capture(capture[:cut]) == {}
