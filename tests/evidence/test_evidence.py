"""The evidence folder and its report, from made-up runs."""

import json
import re
from html.parser import HTMLParser

import pytest
from omvsim.engine import Fault, Unmodelled
from omvsim.errors import UserError
from omvsim.evidence import Evidence, Result, report

from netsim import Event


def result(**changes):
    values = {
        "script": "client.py", "image": "image.elf", "image_sha256": "ab" * 32,
        "board": "board.repl", "scenario": "default", "seed": 1,
        "engine": "embedded", "engine_version": "1", "started": "2026-06-15T12:00:00+00:00",
    }  # fmt: skip
    return Result(**values | changes)


class Page(HTMLParser):
    """Text, tags and attributes of a page."""

    def __init__(self, html):
        super().__init__()
        self.words, self.attributes, self.tags = [], [], []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.words.append(data)


def test_a_run_that_is_killed_leaves_files_that_open(tmp_path):
    evidence = Evidence(tmp_path / "run", result(), "seed = 1\n")
    evidence.console(b"half a li", 5)
    assert json.loads((tmp_path / "run/result.json").read_text())["outcome"] == "running"
    assert (tmp_path / "run/console.log").read_bytes() == b"half a li"
    assert (tmp_path / "run/scenario.toml").read_text() == "seed = 1\n"
    assert "running" in Page((tmp_path / "run/report.html").read_text()).text


def test_finish_tells_all(tmp_path):
    evidence = Evidence(tmp_path, result(), "seed = 1\n")
    evidence.console(b"hello\r\n", 1_500_000)
    evidence.event(Event(2_000_000, "camera", "example.com", "TCP", "TCP SYN 1 > 443"))
    fault = Fault("BusFault", 7, tuple(range(16)), 1, 0x8200, 0, 0, 0xD0000000)
    access = Unmodelled(0x40008800, True, 0x08000100, 7, 3)
    evidence.finish(
        result(outcome="fault", exit_code=3, detail=str(fault), fault=fault, unmodelled=[access])
    )
    told = json.loads((tmp_path / "result.json").read_text())
    assert told["schema"] == 1
    assert told["exit_code"] == 3
    assert told["fault"]["bfar"] == 0xD0000000
    assert told["unmodelled"][0]["count"] == 3
    page = Page((tmp_path / "report.html").read_text())
    for words in ("PRECISERR, BFAR=0xD0000000", "0x40008800", "TCP SYN 1 > 443", "2.000", "hello"):
        assert words in page.text


def test_page_needs_no_script_and_no_network(tmp_path):
    html = report.render(result(), [], 0, [])
    page = Page(html)
    assert "script" not in page.tags
    links = [value for name, value in page.attributes if name in ("href", "src")]
    assert links
    assert all(re.fullmatch(r"[a-z]+\.(log|pcapng|json|toml)", link) for link in links)
    assert "url(" not in html


def test_what_the_camera_prints_cannot_become_markup():
    evil = b"<script>alert(1)</script>\x1b[31m\xff&amp;\r\n"
    html = report.render(
        result(script="<b>"), [Event(0, "camera", "*", "UDP", "<i>")], 0, [(0, evil)]
    )
    page = Page(html)
    assert "script" not in page.tags
    assert r"<script>alert(1)</script>\x1b[31m\xff&amp;" in page.text


def test_controls_from_anywhere_are_shown_not_obeyed():
    evil = "\x00\x1b\x85\x9b\u202e"
    html = report.render(
        result(outcome="exception", detail=evil),
        [Event(0, "camera", "*", "TCP", evil)],
        0,
        [(0, evil.encode() + b"\r\n")],
    )
    assert html.count(r"\x00\x1b\x85\x9b\u202e") == 3
    assert all(c.isprintable() or c == "\n" for c in html)


def test_a_line_without_end_is_cut():
    (line,) = report.console_lines([(0, b"x" * 10_000_000)])
    assert line.text.endswith("x ... 9996000 more characters")
    assert len(line.text) < 5000


def test_a_name_that_is_no_unicode_is_written(tmp_path):
    Evidence(tmp_path, result(script="cl\udcff.py"), "")
    assert json.loads((tmp_path / "result.json").read_bytes())["script"] == "cl?.py"
    assert rb"cl\udcff.py" in (tmp_path / "report.html").read_bytes()


def test_a_line_keeps_the_time_of_its_first_byte():
    lines = report.console_lines([(1, b"a"), (2, b"b\r\nc"), (3, b"\r\n"), (4, b"d")])
    assert [(line.time, line.text) for line in lines] == [(1, "ab"), (2, "c"), (4, "d")]


def test_arrows_join_the_lifelines():
    events = [
        Event(0, "camera", "*", "DHCP", "DHCP DISCOVER"),
        Event(1, "gateway", "camera", "DHCP", "DHCP OFFER"),
        Event(2, "camera", "example.com", "TCP", "TCP SYN"),
    ]
    names = report.participants(events)
    assert names == ["camera", "gateway", "example.com"]
    rungs = [report.rung(event, names) for event in events]
    assert [(round(r.left), round(r.width), r.towards_camera, r.everybody) for r in rungs] == [
        (17, 83, False, True), (17, 33, True, False), (17, 67, False, False),
    ]  # fmt: skip


def test_what_the_raw_repl_says_itself_is_not_shown():
    """reference/repl.html: raw-paste mode, wherever its bytes are cut."""
    console = (
        b"hello\r\n>>> \r\n>>> \r\nraw REPL; CTRL-B to exit\r\n>R\x01\x80\x00\x01\x01\x01\x04"
        b"printed > R\x01\r\n\x04Traceback:\r\n\x04>"
    )
    for size in (1, 2, 7, 100):
        cut = [(at, console[at : at + size]) for at in range(0, len(console), size)]
        kept = list(report.without_protocol(cut))
        assert b"".join(data for _, data in kept) == (b"hello\r\nprinted > R\x01\r\nTraceback:\r\n")
        assert all(time % size == 0 for time, _ in kept)


@pytest.mark.parametrize("printed", [b"\x04a", b">>> \r\n", b"\x04R\x01xx\x01"])
def test_a_console_that_looks_like_protocol_is_read_once(printed):
    """Whatever a firmware prints: with looks back over it this would take days."""
    console = printed * (1 << 18)
    kept = b"".join(data for _, data in report.without_protocol([(0, console), (1, b"end")]))
    assert kept.endswith(b"end") and len(kept) <= len(console) + 3


def test_rows_are_in_the_order_of_time_with_gaps():
    events = [Event(5_000_000, "camera", "gateway", "TCP", "TCP SYN", 7)]
    rows = report.rows(
        events, 0, [(1_000_000, b"a\r\n"), (905_000_000, b"b\r\n")], ["camera", "gateway"]
    )
    assert [(row.time, row.after, row.line and row.line.text) for row in rows] == [
        (1_000_000, 0, "a"), (5_000_000, 4_000_000, None), (905_000_000, 900_000_000, "b"),
    ]  # fmt: skip
    assert rows[0].gap == 0 < rows[1].gap < rows[2].gap <= 3


def test_what_the_cable_did_and_when_the_core_worked():
    events = [
        Event(0, "camera", "a", "TCP", "SYN"),
        Event(4000, "a", "camera", "TCP", "A", 2, "3 ms late"),
    ]
    lost = Event(2000, "camera", "a", "IPv4", "lost: TCP", mark="lost")
    work = report.Work([(0, 0), (1000, 480), (4000, 480)], 480_000_000)
    found = report.rows(events, 0, [], ["camera", "a"], [lost], work)
    assert [(row.time, row.busy) for row in found] == [(0, None), (2000, 50), (4000, 0)]
    assert work.busy(0, 1000) == 100 and work.busy(500, 1500) == 50
    assert report.Work([(0, 0), (9, 9)], 0).busy(0, 9) is None
    page = report.render(result(), events, 0, [], None, [lost], work)
    assert "<em>3 ms late</em>" in page and '<div class="cell ipv4 hit">' in page
    assert 'title="the core was busy 50 % of these 0.002 ms"' in page


@pytest.mark.parametrize(
    ("text", "alarm"),
    [
        ("TLS alert, fatal unknown_ca", True), ("TLS alert, warning close_notify", False),
        ("TCP RST 1 > 2", True), ("TCP FIN 1 > 2", False), ("DNS a.lan: no such name", True),
    ],
)  # fmt: skip
def test_what_ends_something_is_red(text, alarm):
    events = [Event(0, "camera", "gateway", "TLS", text, 3)]
    page = Page(report.render(result(), events, 0, []))
    assert report.rung(events[0], ["camera", "gateway"]).alarm is alarm
    assert ("class", "cell tls" + " alarm" * alarm) in page.attributes
    assert "camera to gateway, frame 3: tshark -r net.pcapng -V -Y frame.number==3" in page.text


def test_long_runs_show_their_ends():
    events = [Event(i, "camera", "gateway", "UDP", f"packet {i}.") for i in range(5000)]
    text = Page(report.render(result(), events, 0, [])).text
    assert "packet 0." in text
    assert "packet 4999." in text
    assert "packet 2500." not in text
    assert "3000 events are left out" in text


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/run: .*: choose another --out$"):
        Evidence(tmp_path / "file/run", result(), "")


@pytest.mark.parametrize("name", ["console.log", "scenario.toml", "result.json", "report.html"])
def test_a_file_that_cannot_be_written_is_one_line(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=r": .*: choose another --out$"):
        Evidence(tmp_path, result(), "seed = 1\n")
