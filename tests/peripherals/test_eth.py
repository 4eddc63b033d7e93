"""Ethernet MAC and DMA, by RM0433 section 58; packets and their checksums by scapy."""

import struct
import zlib

import pytest
from fake import RAM, Bus, FakeMachine
from omvsim.peripherals.eth.mac import Eth
from omvsim.peripherals.phy import Phy
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

MAC = "02:00:00:11:22:33"
PEER = "02:00:00:aa:bb:cc"
(MACCR, MACPFR, MACHT0R, MACMDIOAR, MACMDIODR, MACA0HR, MACA0LR, MACA1HR, MACA1LR) = (
    0x000, 0x008, 0x010, 0x200, 0x204, 0x300, 0x304, 0x308, 0x30C,
)  # fmt: skip
MTLTXQOMR, MTLRXQOMR, MTLRXQMPOCR = 0xD00, 0xD30, 0xD34
DMAMR, DMAISR, DMACCR, DMACTXCR, DMACRXCR = 0x1000, 0x1008, 0x1100, 0x1104, 0x1108
DMACTXDLAR, DMACRXDLAR, DMACTXDTPR, DMACRXDTPR = 0x1114, 0x111C, 0x1120, 0x1128
DMACTXRLR, DMACRXRLR, DMACIER, DMACSR = 0x112C, 0x1130, 0x1134, 0x1160
OWN, IOC_RX, FD, LD, BUF1V, BUF2V = 1 << 31, 1 << 30, 1 << 29, 1 << 28, 1 << 24, 1 << 25
IOC_TX = 1 << 31
TI, TBU, RI, RBU, FBE, AIS, NIS = 1 << 0, 1 << 2, 1 << 6, 1 << 7, 1 << 12, 1 << 14, 1 << 15
TX_RING, RX_RING, TX_BUFFER, RX_BUFFER = RAM, RAM + 0x100, RAM + 0x1000, RAM + 0x8000
WIRE_100M = 80  # ns a byte


class Net:
    """The MAC with a PHY, a ring of four descriptors each way, everything started."""

    def __init__(self, machine: FakeMachine) -> None:
        self.machine = machine
        self.eth = Eth(machine, systemClockFrequency=240_000_000)
        self.phy = Phy(machine)
        self.eth.attach(0, self.phy)
        self.bus = Bus(self.eth)
        self.sent: list[tuple[int, bytes]] = []
        self.eth.frame_ready = lambda now, frame: self.sent.append((now, frame))
        machine.run(1_000_000_000)  # the link is up
        w = self.bus.write
        own = bytes.fromhex(MAC.replace(":", ""))
        w(MACA0HR, int.from_bytes(own[4:], "little"))
        w(MACA0LR, int.from_bytes(own[:4], "little"))
        w(DMACTXDLAR, TX_RING)
        w(DMACTXRLR, 3)
        w(DMACRXDLAR, RX_RING)
        w(DMACRXRLR, 3)
        w(DMACIER, NIS | AIS | TI | RI | RBU | FBE)
        w(MTLTXQOMR, 0x00070008 | 2)  # TSF
        w(MACCR, 0x8000 | 1 << 21 | 1 << 20 | 1 << 14 | 1 << 13 | 3)  # CST ACS FES DM TE RE
        w(DMACRXCR, 1 | 1536 << 1)
        w(DMACTXCR, 1)

    def words(self, address: int) -> tuple[int, int, int, int]:
        return struct.unpack("<4I", self.machine.read_memory(address, 16))

    def post(self, index: int, control: int = OWN | IOC_RX | BUF1V, second: int = 0) -> None:
        self.machine.write_memory(
            RX_RING + 16 * index,
            struct.pack("<4I", RX_BUFFER + 0x800 * index, 0, second, control),
        )

    def transmit(self, frame: bytes, control: int = 0, index: int = 0) -> None:
        self.machine.write_memory(TX_BUFFER, frame)
        self.machine.write_memory(
            TX_RING + 16 * index,
            struct.pack("<4I", TX_BUFFER, 0, IOC_TX | len(frame), OWN | FD | LD | control),
        )
        self.bus.write(DMACTXDTPR, TX_RING + 16 * (index + 1))

    def stored(self, index: int, length: int) -> bytes:
        return self.machine.read_memory(RX_BUFFER + 0x800 * index, length)


@pytest.fixture
def net(machine: FakeMachine) -> Net:
    return Net(machine)


def frame(*layers: object, to: str = MAC) -> bytes:
    packet = Ether(dst=to, src=PEER)
    for layer in layers:
        packet = packet / layer
    return bytes(packet)


def test_mdio_reads_the_phy_id_after_64_mdc_periods(net: Net) -> None:
    net.bus.write(MACMDIOAR, 3 << 16 | 4 << 8 | 3 << 2 | 1)  # RDA 3, CR 4 (HCLK/102), read, GB
    start = net.machine.now
    net.machine.run(start + 27_000)
    assert net.bus.read(MACMDIOAR) & 1
    net.machine.run(start + 27_200)  # 64 * 102 / 240 MHz
    assert not net.bus.read(MACMDIOAR) & 1
    assert net.bus.read(MACMDIODR) == 0xC131


def test_mdio_without_a_phy_reads_ones(net: Net) -> None:
    net.bus.write(MACMDIOAR, 5 << 21 | 2 << 16 | 4 << 8 | 3 << 2 | 1)
    net.machine.run(net.machine.now + 30_000)
    assert net.bus.read(MACMDIODR) == 0xFFFF


def test_transmit_takes_wire_time_and_closes_the_descriptor(net: Net) -> None:
    data = frame(Raw(b"x" * 100))
    start = net.machine.now
    net.transmit(data)
    assert net.sent == []
    net.machine.run(start + 10**6)
    duration = (8 + len(data) + 4 + 12) * WIRE_100M  # preamble, FCS, gap
    assert net.sent == [(start + duration, data)]
    assert net.words(TX_RING)[3] == FD | LD
    assert net.bus.read(DMACSR) & (TI | TBU | NIS) == TI | TBU | NIS
    assert net.eth.IRQ.level
    assert net.bus.read(DMAISR) & 1
    net.bus.write(DMACSR, TI | TBU | NIS)
    assert not net.eth.IRQ.level
    assert net.bus.read(0x768) == 1  # TX_PACKET_COUNT_GOOD


def test_frames_follow_one_another_in_ring_order(net: Net) -> None:
    for n in range(4):
        net.machine.write_memory(TX_BUFFER + 64 * n, bytes([n]) * 60)
        net.machine.write_memory(
            TX_RING + 16 * n, struct.pack("<4I", TX_BUFFER + 64 * n, 0, 60, OWN | FD | LD)
        )
    start = net.machine.now
    net.bus.write(DMACTXDTPR, TX_RING)
    net.machine.run(start + 10**6)
    assert [f[0] for _, f in net.sent] == [0, 1, 2, 3]
    assert [at - start for at, _ in net.sent] == [n * 84 * WIRE_100M for n in range(1, 5)]
    assert not net.eth.dmacsr.value & TI  # no IOC


def test_a_frame_in_two_descriptors_and_both_buffers(net: Net) -> None:
    net.machine.write_memory(TX_BUFFER, bytes(range(200)))
    net.machine.write_memory(
        TX_RING, struct.pack("<4I", TX_BUFFER, TX_BUFFER + 50, 50 | 50 << 16, OWN | FD)
    )
    net.machine.write_memory(
        TX_RING + 16, struct.pack("<4I", TX_BUFFER + 100, 0, IOC_TX | 100, OWN | LD)
    )
    net.bus.write(DMACTXDTPR, TX_RING + 32)
    net.machine.run(net.machine.now + 10**6)
    assert [f for _, f in net.sent] == [bytes(range(200))]
    assert net.words(TX_RING)[3] == FD
    assert net.words(TX_RING + 16)[3] == LD


@pytest.mark.parametrize(
    ("cpc", "data", "expected"),
    [
        (0, b"a" * 20, b"a" * 20 + bytes(40)),  # CRC and pad
        (1, b"a" * 20, b"a" * 20),  # CRC only
        (2, b"a" * 60 + zlib.crc32(b"a" * 60).to_bytes(4, "little"), b"a" * 60),  # own CRC
        (2, b"a" * 60 + b"bad!", None),  # a wrong one: the receiver drops it
        (3, b"a" * 60 + b"bad!", b"a" * 60),  # replaced
    ],
)
def test_crc_and_pad_control(net: Net, cpc: int, data: bytes, expected: bytes | None) -> None:
    net.transmit(data, cpc << 26)
    net.machine.run(net.machine.now + 10**6)
    assert [f for _, f in net.sent] == ([expected] if expected else [])


@pytest.mark.parametrize(
    "layers",
    [
        (IP(src="10.0.0.1", dst="10.0.0.2"), TCP(dport=80), Raw(b"odd")),
        (IP(src="10.0.0.1", dst="10.0.0.2"), UDP(dport=53), Raw(b"query")),
        (IP(src="10.0.0.1", dst="10.0.0.2"), ICMP(), Raw(b"ping")),
        (Dot1Q(vlan=7), IP(src="10.0.0.1", dst="10.0.0.2"), UDP(), Raw(b"tagged")),
        (IPv6(src="fe80::1", dst="fe80::2"), TCP(), Raw(b"six")),
        (IPv6(src="fe80::1", dst="fe80::2"), ICMPv6EchoRequest(data=b"six")),
    ],
)
def test_checksums_are_inserted_as_scapy_computes_them(net: Net, layers: tuple) -> None:
    good = frame(*layers)
    bare = Ether(good)
    for layer in (IP, TCP, UDP, ICMP, ICMPv6EchoRequest):
        if layer in bare:
            name = "cksum" if layer is ICMPv6EchoRequest else "chksum"
            setattr(bare[layer], name, 0)
    assert bytes(bare) != good
    net.transmit(bytes(bare), 3 << 16)  # CIC: header and payload with pseudo header
    net.machine.run(net.machine.now + 10**6)
    assert net.sent[0][1][: len(good)] == good


def test_no_checksums_without_store_and_forward(net: Net) -> None:
    net.bus.write(MTLTXQOMR, 0x00070008)
    bare = bytearray(frame(IP(), UDP(), Raw(b"x" * 40)))
    bare[24:26] = b"\0\0"
    net.transmit(bytes(bare), 3 << 16)
    net.machine.run(net.machine.now + 10**6)
    assert net.sent[0][1] == bytes(bare)


def test_receive_writes_back_length_type_and_ownership(net: Net) -> None:
    data = frame(IP(), UDP(), Raw(b"y" * 100))
    net.post(0)
    net.eth.receive_frame(data)
    word3 = net.words(RX_RING)[3]
    assert word3 & (OWN | FD | LD) == FD | LD
    assert word3 & 0x7FFF == len(data)  # PL, FCS stripped by CST
    assert word3 >> 16 & 7 == 1  # LT: a type packet
    assert net.stored(0, len(data)) == data
    assert net.eth.IRQ.level
    assert net.bus.read(DMACSR) & (RI | NIS) == RI | NIS


def test_without_stripping_the_fcs_is_in_memory(net: Net) -> None:
    net.bus.write(MACCR, 0x8003)
    data = frame(IP(), UDP(), Raw(b"y" * 100))
    net.post(0)
    net.eth.receive_frame(data)
    assert net.words(RX_RING)[3] & 0x7FFF == len(data) + 4
    assert net.stored(0, len(data) + 4)[-4:] == zlib.crc32(data).to_bytes(4, "little")


def test_short_frames_arrive_padded_and_length_frames_stripped(net: Net) -> None:
    net.post(0)
    net.post(1)
    net.eth.receive_frame(frame(ARP(), to="ff:ff:ff:ff:ff:ff"))
    assert net.words(RX_RING)[3] & 0x7FFF == 60
    assert net.words(RX_RING)[3] >> 16 & 7 == 3  # LT: ARP
    length_frame = bytes.fromhex(MAC.replace(":", "")) * 2 + b"\x00\x05hello"
    net.eth.receive_frame(length_frame)
    assert net.words(RX_RING + 16)[3] & 0x7FFF == 19  # ACS


def test_a_buffer_size_of_zero_receives(net: Net) -> None:
    net.bus.write(DMACRXCR, 1)
    net.post(0)
    net.eth.receive_frame(frame(IP(), Raw(b"z" * 1400)))
    assert net.words(RX_RING)[3] & 0x7FFF == 1434


def test_a_frame_over_several_buffers(net: Net) -> None:
    net.bus.write(DMACRXCR, 1 | 64 << 1)
    net.post(0, OWN | BUF1V | BUF2V, second=RX_BUFFER + 64)
    net.post(1)
    data = frame(IP(), Raw(bytes(range(100, 236))))
    net.eth.receive_frame(data)
    assert net.words(RX_RING)[3] == FD
    assert net.words(RX_RING + 16)[3] & (FD | LD | 0x7FFF) == LD | len(data)
    joined = net.machine.read_memory(RX_BUFFER, 128) + net.stored(1, len(data) - 128)
    assert joined == data


def test_a_ring_that_is_handed_back_by_its_last_word_goes_on(net: Net) -> None:
    """As the drivers of ChibiOS and Mongoose do it: what names the buffer stays (58.10.4)."""
    for index in range(4):
        net.post(index)
    for number in range(6):
        data = frame(IP(), Raw(bytes([number]) * 60))
        net.eth.receive_frame(data)
        slot = number % 4
        assert net.words(RX_RING + 16 * slot)[0] == RX_BUFFER + 0x800 * slot
        assert net.stored(slot, len(data)) == data
        word3 = struct.pack("<I", OWN | IOC_RX | BUF1V)
        net.machine.write_memory(RX_RING + 16 * slot + 12, word3)


def test_no_descriptor_suspends_and_the_tail_pointer_resumes(net: Net) -> None:
    data = frame(IP(), Raw(b"q" * 60))
    net.eth.receive_frame(data)
    assert net.bus.read(DMACSR) & (RBU | AIS) == RBU | AIS
    net.post(0)
    net.bus.write(DMACRXDTPR, RX_RING + 16)
    assert net.words(RX_RING)[3] & 0x7FFF == len(data)


def test_the_receive_queue_holds_2_kib_and_counts_losses(net: Net) -> None:
    data = frame(IP(), Raw(b"q" * 900))
    for _ in range(4):
        net.eth.receive_frame(data)
    assert net.bus.read(MTLRXQMPOCR) == 2
    assert net.bus.read(MTLRXQMPOCR) == 0  # reading clears
    for n in range(4):
        net.post(n)
    net.bus.write(DMACRXDTPR, RX_RING)
    assert [bool(net.words(RX_RING + 16 * n)[3] & OWN) for n in range(4)] == [
        False, False, True, True,
    ]  # fmt: skip


def test_descriptors_out_of_reach_stop_the_dma(net: Net) -> None:
    net.bus.write(DMACTXDLAR, 0x20000000)  # DTCM
    net.bus.write(DMACTXDTPR, 0x20000010)
    assert net.bus.read(DMACSR) & (FBE | AIS) == FBE | AIS
    assert not net.bus.read(DMACTXCR) & 1
    assert "0x20000000" in net.machine.logged[0]


def test_descriptor_skip_length(net: Net) -> None:
    net.bus.write(DMACCR, 2 << 18)  # two words between descriptors
    data = frame(Raw(b"s" * 60))
    for n in range(2):
        net.machine.write_memory(TX_BUFFER, data)
        net.machine.write_memory(
            TX_RING + 24 * n, struct.pack("<4I", TX_BUFFER, 0, len(data), OWN | FD | LD)
        )
    net.bus.write(DMACTXDTPR, TX_RING + 48)
    net.machine.run(net.machine.now + 10**6)
    assert len(net.sent) == 2


@pytest.mark.parametrize(
    ("to", "macpfr", "passes"),
    [
        (MAC, 0, True),
        ("02:00:00:11:22:34", 0, False),
        ("02:00:00:11:22:34", 1, True),  # PR
        ("02:00:00:11:22:34", 1 << 31, True),  # RA
        ("ff:ff:ff:ff:ff:ff", 0, True),
        ("ff:ff:ff:ff:ff:ff", 1 << 5, False),  # DBF
        ("33:33:00:00:00:01", 0, False),
        ("33:33:00:00:00:01", 1 << 4, True),  # PM
        (MAC, 1 << 3, False),  # DAIF
        ("02:00:00:11:22:34", 1 << 3, True),
        ("01:80:c2:00:00:01", 1 << 2, False),  # HMC, table empty
    ],
)
def test_address_filter(net: Net, to: str, macpfr: int, passes: bool) -> None:
    net.bus.write(MACPFR, macpfr)
    net.post(0)
    net.eth.receive_frame(frame(IP(), Raw(b"f" * 40), to=to))
    assert bool(net.words(RX_RING)[3] & OWN) != passes


def test_hash_filter_uses_the_upper_crc_bits(net: Net) -> None:
    """The example of RM0433 58.5.5: 1F:52:41:9C:B6:AF hashes to 0x2C."""
    net.bus.write(MACPFR, 1 << 1 | 1 << 2)
    net.post(0)
    data = frame(IP(), Raw(b"f" * 40), to="1f:52:41:9c:b6:af")
    net.eth.receive_frame(data)
    assert net.words(RX_RING)[3] & OWN
    net.bus.write(MACHT0R + 4, 1 << (0x2C - 32))
    net.eth.receive_frame(data)
    assert not net.words(RX_RING)[3] & OWN


def test_second_address_with_byte_mask(net: Net) -> None:
    net.bus.write(MACA1HR, 1 << 31 | 1 << 29 | 0x0000)  # AE, ignore the last byte
    net.bus.write(MACA1LR, 0x00000002)
    net.post(0)
    net.eth.receive_frame(frame(IP(), Raw(b"f" * 40), to="02:00:00:00:00:77"))
    assert not net.words(RX_RING)[3] & OWN


@pytest.mark.parametrize(("dis_tcp_ef", "kept"), [(0, False), (1 << 6, True)])
def test_received_checksums(net: Net, dis_tcp_ef: int, kept: bool) -> None:
    net.bus.write(MACCR, net.bus.read(MACCR) | 1 << 27)  # IPC
    net.bus.write(MTLRXQOMR, dis_tcp_ef)
    good = frame(IP(), TCP(), Raw(b"t" * 40))
    net.post(0)
    net.post(1)
    net.eth.receive_frame(good)
    assert net.words(RX_RING)[1] == 0b10010  # IPv4, PT TCP, no error
    net.eth.receive_frame(good[:-1] + b"!")
    assert bool(net.words(RX_RING + 16)[3] & OWN) != kept
    if kept:
        assert net.words(RX_RING + 16)[1] == 0b10010010  # IPCE


def test_software_reset_clears_itself_and_everything(net: Net) -> None:
    net.bus.write(DMAMR, 1)
    assert net.bus.read(DMAMR) & 1
    assert net.bus.read(DMACTXCR) == 0
    net.machine.run(net.machine.now + 10_000)
    assert not net.bus.read(DMAMR) & 1


def test_nothing_passes_without_link(net: Net) -> None:
    net.phy.set_link(False)
    net.post(0)
    net.eth.receive_frame(frame(IP(), Raw(b"f" * 40)))
    net.transmit(frame(Raw(b"x" * 60)))
    net.machine.run(net.machine.now + 10**6)
    assert net.words(RX_RING)[3] & OWN
    assert net.sent == []
    assert not net.words(TX_RING)[3] & OWN  # the MAC does not know


def test_loopback(net: Net) -> None:
    net.bus.write(MACCR, net.bus.read(MACCR) | 1 << 12)
    net.post(0)
    net.transmit(frame(IP(), Raw(b"l" * 60)))
    net.machine.run(net.machine.now + 10**6)
    assert net.words(RX_RING)[3] & 0x7FFF == 94
    assert net.sent == []


@pytest.mark.parametrize(
    ("sarc", "saic", "expected"),
    [
        (3, 0, MAC),  # MACCR.SARC replaces
        (0, 2, MAC),  # TDES3.SAIC replaces
        (0, 0, PEER),
    ],
)
def test_source_address_replacement(net: Net, sarc: int, saic: int, expected: str) -> None:
    net.bus.write(MACCR, net.bus.read(MACCR) | sarc << 28)
    net.transmit(frame(IP(), Raw(b"x" * 60), to="ff:ff:ff:ff:ff:ff"), saic << 23)
    net.machine.run(net.machine.now + 10**6)
    assert Ether(net.sent[0][1]).src == expected


def test_source_address_insertion(net: Net) -> None:
    net.bus.write(MACCR, net.bus.read(MACCR) | 2 << 28)
    whole = frame(IP(), Raw(b"x" * 60))
    net.transmit(whole[:6] + whole[12:])
    net.machine.run(net.machine.now + 10**6)
    sent = net.sent[0][1]
    assert Ether(sent).src == MAC
    assert sent[12:] == whole[12:]


def test_context_descriptors_are_handed_back(net: Net) -> None:
    data = frame(Raw(b"c" * 60))
    net.machine.write_memory(TX_BUFFER, data)
    net.machine.write_memory(TX_RING, struct.pack("<4I", 0, 0, 0, OWN | 1 << 30))
    net.machine.write_memory(
        TX_RING + 16, struct.pack("<4I", TX_BUFFER, 0, len(data), OWN | FD | LD)
    )
    net.bus.write(DMACTXDTPR, TX_RING + 32)
    net.machine.run(net.machine.now + 10**6)
    assert [f for _, f in net.sent] == [data]
    assert not net.words(TX_RING)[3] & OWN


def test_receive_watchdog_tells_without_ioc(net: Net) -> None:
    net.bus.write(0x1138, 100)  # DMACRXIWTR: 100 * 256 HCLK = 106.7 us
    net.post(0, OWN | BUF1V)
    net.eth.receive_frame(frame(IP(), Raw(b"w" * 60)))
    net.machine.run(net.machine.now + 100_000)
    assert not net.eth.IRQ.level
    net.machine.run(net.machine.now + 10_000)
    assert net.bus.read(DMACSR) & (RI | NIS) == RI | NIS
    assert net.eth.IRQ.level


def test_a_giant_is_marked_and_a_jabber_is_cut(net: Net) -> None:
    net.bus.write(DMACRXCR, 1)
    net.post(0)
    net.eth.receive_frame(frame(IP(), Raw(b"g" * 1600)))
    assert net.words(RX_RING)[3] & (1 << 23 | 1 << 15) == 1 << 23 | 1 << 15  # GP, ES
    net.transmit(frame(IP(), Raw(b"j" * 2100)))
    net.machine.run(net.machine.now + 10**6)
    assert net.sent == []
    assert net.words(TX_RING)[3] & (1 << 15 | 1 << 14) == 1 << 15 | 1 << 14  # ES, JT


def test_stopping_reports_the_process(net: Net) -> None:
    net.bus.write(DMACTXCR, 0)
    net.bus.write(DMACRXCR, 0)
    assert net.bus.read(DMACSR) & (1 << 1 | 1 << 8) == 1 << 1 | 1 << 8  # TPS, RPS
    net.post(0)
    net.eth.receive_frame(frame(IP(), Raw(b"w" * 60)))
    assert net.words(RX_RING)[3] & OWN
    net.bus.write(DMACRXCR, 1)  # what waited in the queue arrives now
    assert not net.words(RX_RING)[3] & OWN
