"""The pages in a browser: whatever a name holds, nothing runs and nothing is fetched."""

import http.server
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import pytest
from omvsim.engine import Fault, Unmodelled
from omvsim.evidence import Result, report
from omvsim.evidence.chain import Card
from omvsim.suites.comparison import Row
from omvsim.suites.conformance import Conformance, Difference, Outcome, Statement, Versions, kinds

from netsim import Event

Browse = Callable[..., str]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def fetched() -> Iterator[tuple[str, list[str]]]:
    """A server that notes what it is asked for: its address, and the list."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


@pytest.fixture
def browse(tmp_path: Path) -> Browse:
    """browse(page) opens it in Chromium; the document that has come of it."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if not program:
        pytest.skip("no Chromium: apt install chromium")

    def dump(page: Path, width: int = 1280) -> str:
        return subprocess.run(
            [program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=1000", "--dump-dom",
             f"--window-size={width},2000", page.as_uri()],
            capture_output=True, text=True, timeout=600, check=True,
        ).stdout  # fmt: skip

    return dump


def hostile(address: str) -> str:
    """A name that breaks out of texts and attributes, and fetches without a click."""
    return (
        f"'\"></code></pre></title></style><script>document.body.id='ran'</script>"
        f"<img src={address}/img onerror=document.body.id='ran'><svg onload=document.body.id='ran'>"
        f"<link rel=stylesheet href={address}/css><iframe src={address}/frame></iframe>"
        f"<meta http-equiv=refresh content='0;url={address}/refresh'>{{{{ 7 * 7 }}}}"
    )


def pages(name: str) -> dict[str, str]:
    """All pages, with the name in every field that takes one."""
    texts = {f.name: name for f in fields(Result) if f.type == "str"} | {"outcome": "fault"}
    fault = Fault(name, 7, tuple(range(16)), 1, 0x8200, 0, 0, 0xD0000000)
    numbers = {"seed": 1, "fault": fault, "unmodelled": [Unmodelled(1, True, 2, 3, 4)]}
    result = Result(**texts | numbers, console_beyond=1)  # type: ignore[arg-type]
    events = [Event(0, name, name, "TCP", name), Event(1, "camera", "*", "TLS", name)]
    test = Outcome(name, name, name, [name], False, name, 1.0, name)
    statements = [Statement(name, name, name, [name], False, "fails", name)]
    run = Conformance(
        name, name, Versions(name, name, name), [name], statements, [test], name,
        [Difference("broken", name, [name], name)], {}, name, name, name, 1.0, name, name,
    )  # fmt: skip
    day = datetime(2026, 6, 15, tzinfo=UTC)
    card = Card(name, name, name, (name, name), day, day, name, (name,))
    more = report.More(name, f"{name}\nx = 1\n", 1, [card], day, day, {0: name})
    table = report.environment.get_template("conformance.html")
    return {
        "report": report.render(result, events, 0, [(0, name.encode())], more),
        "table": table.render(run=run, kinds=kinds(run.differences)),
        "comparison": report.environment.get_template("comparison.html").render(
            runs=[run], files=[name], rows=[Row(name, [name], ["fail"], [name])]
        ),
    }


@pytest.mark.parametrize("page", ["report", "table", "comparison"])
def test_hostile_names_in_every_field(
    page: str, browse: Browse, fetched: tuple[str, list[str]], tmp_path: Path
) -> None:
    address, asked = fetched
    text = pages(hostile(address))[page]
    assert "default-src 'none'; style-src 'unsafe-inline'" in text
    (tmp_path / "page.html").write_text(text)
    seen = browse(tmp_path / "page.html")
    assert 'id="ran"' not in seen and asked == []
    assert seen.count("<script") == seen.count("<img") == seen.count("<iframe") == 0
    assert "{{ 7 * 7 }}" in seen


def test_the_policy_holds_where_escaping_would_not(
    browse: Browse, fetched: tuple[str, list[str]], tmp_path: Path
) -> None:
    address, asked = fetched
    text, page = pages("a name")["report"], tmp_path / "page.html"
    broken = text.replace("</body>", f"{hostile(address)}</body>").replace("http-equiv=refresh", "")
    page.write_text(broken)
    seen = browse(page)
    assert "<script" in seen and 'id="ran"' not in seen and asked == []
    page.write_text(broken.replace("Content-Security-Policy", ""))  # it is the policy that holds
    assert 'id="ran"' in browse(page)
    assert {"/img", "/css"} <= set(asked)


#: notes in the page what is wider than its place
MEASURE = """<script>
const wide = [...document.querySelectorAll("body, body *")].filter(e =>
  e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display != "inline" && e.clientWidth);
document.body.dataset.wide = wide.map(e => e.tagName + "." + e.className).join(" ");
const root = document.documentElement;
document.body.dataset.over = root.scrollWidth - root.clientWidth;
</script></body>"""


def fits(text: str, width: int, browse: Browse, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(text.replace("Content-Security-Policy", "").replace("</body>", MEASURE))
    seen = browse(page, width)
    assert 'data-wide=""' in seen, seen[-300:]
    assert 'data-over="0"' in seen, seen[-300:]


@pytest.mark.parametrize("page", ["table", "comparison"])
@pytest.mark.parametrize("width", [500, 1280])  # no window of Chromium is narrower
def test_the_tables_fit_their_window(page: str, width: int, browse: Browse, tmp_path: Path) -> None:
    name = "MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED, and then some words more about it"
    fits(pages(name)[page], width, browse, tmp_path)


def test_the_filter_hides_rows(browse: Browse, tmp_path: Path) -> None:
    """By CSS alone: a box that is not checked takes its verdict's rows away."""
    text = pages("a name")["table"].replace("Content-Security-Policy", "")
    script = """<script>
    const row = document.querySelector(".row"), box = document.querySelector(".filter input");
    const seen = [row.offsetHeight > 0];
    box.click();
    document.body.dataset.seen = [...seen, row.offsetHeight > 0];
    </script></body>"""
    (tmp_path / "page.html").write_text(text.replace("</body>", script))
    assert 'data-seen="true,false"' in browse(tmp_path / "page.html")


@pytest.mark.parametrize("width", [500, 1280])
def test_the_report_fits_its_window(
    width: int, browse: Browse, tmp_path: Path, omvsim: Run, example: Path, image: Path
) -> None:
    done = omvsim("run", "--scenario", "expired", "--out", tmp_path / "out", example)
    assert done.returncode == 1
    text = (tmp_path / "out/report.html").read_text()
    for part in ('class="cause"', 'class="card bad"', 'class="here"', "cell tls alarm", "ms pass"):
        assert part in text
    fits(text, width, browse, tmp_path)
