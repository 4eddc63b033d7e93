"""The raw REPL's protocol, by bytes only."""

import pytest
from omvsim.testbed.rawrepl import CTRL_D, ENTER_PASTE, ENTER_RAW, Execution, ProtocolError, State

BANNER = b"\r\n>>> \r\nraw REPL; CTRL-B to exit\r\n>"


def entered(source: bytes, answer: bytes = b"R\x01", window: int = 32) -> tuple[Execution, bytes]:
    """An execution whose paste mode was answered; and what it sends on that."""
    execution = Execution(source)
    assert execution.start() == ENTER_RAW
    assert execution.feed(BANNER) == ENTER_PASTE
    tail = window.to_bytes(2, "little") if answer == b"R\x01" else b""
    return execution, execution.feed(answer + tail)


def test_short_source_goes_at_once() -> None:
    execution, sent = entered(b"print(1)")
    assert sent == b"print(1)" + CTRL_D
    assert execution.feed(b"\x04" + b"1\r\n\x04\x04>") == b""
    assert execution.state is State.DONE
    assert bytes(execution.output) == b"1\r\n"
    assert bytes(execution.traceback) == b""


def test_bytes_one_by_one() -> None:
    execution = Execution(b"x" * 40)
    sent = execution.start()
    stream = BANNER + b"R\x01\x20\x00" + b"\x01" + b"\x04out\x04\x04>"
    for byte in stream:
        sent += execution.feed(bytes([byte]))
    assert sent == ENTER_RAW + ENTER_PASTE + b"x" * 40 + CTRL_D
    assert execution.state is State.DONE
    assert bytes(execution.output) == b"out"


def test_window_holds_the_source_back() -> None:
    execution, sent = entered(bytes(range(65, 91)) * 4, window=32)
    assert len(sent) == 32
    assert execution.feed(b"") == b""
    assert len(execution.feed(b"\x01")) == 32
    assert len(execution.feed(b"\x01")) == 32
    assert execution.feed(b"\x01") == (bytes(range(65, 91)) * 4)[96:] + CTRL_D


def test_late_window_updates_are_no_output() -> None:
    execution, _ = entered(b"x" * 32)
    assert execution.feed(b"\x01") + execution.feed(b"\x01\x04ok\x04\x04>") in (b"", CTRL_D)
    assert bytes(execution.output) == b"ok"


@pytest.mark.parametrize("answer", [b"R\x00", b"raw REPL; CTRL-B to exit\r\n>"])
def test_without_paste_mode(answer: bytes) -> None:
    execution, sent = entered(b"print(1)", answer)
    assert sent == b"print(1)" + CTRL_D
    assert execution.feed(b"O") == b""
    execution.feed(b"K1\r\n\x04\x04>")
    assert execution.state is State.DONE
    assert bytes(execution.output) == b"1\r\n"


def test_camera_stops_the_paste() -> None:
    """A syntax error shows before all of the source has gone."""
    execution, sent = entered(b"x" * 100)
    assert len(sent) == 32
    assert execution.feed(b"\x04") == CTRL_D
    execution.feed(b"\x04SyntaxError\r\n\x04>")
    assert execution.state is State.DONE
    assert bytes(execution.traceback) == b"SyntaxError\r\n"


def test_traceback() -> None:
    execution, _ = entered(b"raise ValueError")
    execution.feed(b"\x04before\x04Traceback\r\nValueError: \r\n\x04>")
    assert bytes(execution.output) == b"before"
    assert bytes(execution.traceback) == b"Traceback\r\nValueError: \r\n"


def test_prompt_in_the_output_is_output() -> None:
    execution, _ = entered(b"print('>>> ')")
    execution.feed(b"\x04>>> \r\n")
    assert execution.state is State.OUTPUT
    execution.feed(b"\x04\x04>")
    assert bytes(execution.output) == b">>> \r\n"


def test_odd_answer_to_the_offer() -> None:
    with pytest.raises(ProtocolError, match="raw paste mode answered"):
        entered(b"x", b"??")


def test_odd_byte_in_the_paste() -> None:
    execution, _ = entered(b"x" * 100)
    with pytest.raises(ProtocolError, match="0x3F"):
        execution.feed(b"?")


def test_odd_acceptance() -> None:
    execution, _ = entered(b"x")
    with pytest.raises(ProtocolError, match="answered with b'NO'"):
        execution.feed(b"NO")
