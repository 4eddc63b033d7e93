"""The port's modules on the emulated camera; behaviour from MicroPython's documentation."""

import pytest
from omvsim.testbed import SECOND, ScriptError, ScriptExit
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from netsim import scenario as scenarios


@pytest.fixture
def bare(testbed):
    """A camera in a world without DHCP."""
    return testbed(scenario=scenarios.loads("[dhcp]\nenabled = false\n"))


def test_every_promised_module_is_there(bare):
    names = (
        "asyncio binascii hashlib json machine network ntptime os random re select socket ssl "
        "struct time tls"
    )
    assert bare.exec(f"for name in {names.split()!r}: __import__(name)\nprint('all')") == "all\n"


def test_uart(bare):
    out = bare.exec("""
from machine import UART
uart = UART(1, 9600, bits=8, parity=1, stop=2, timeout=20)
print(uart)
print(uart.write(b"hello"), uart.any(), uart.read(1))
uart.flush()
print(uart.txdone())
for wrong in ({"baudrate": 1}, {"bits": 5}, {"stop": 3}):
    try:
        uart.init(**wrong)
    except ValueError as error:
        print(error)
try:
    UART(7)
except ValueError as error:
    print(error)
""")
    assert out.splitlines() == [
        "UART(1, baudrate=9600, bits=8, parity=1, stop=2, timeout=20, timeout_char=0)",
        "5 0 None",
        "True",
        "baudrate out of range",
        "bits must be 7 or 8",
        "stop must be 1 or 2",
        "UART(7) doesn't exist",
    ]


def test_pins_and_lamps(bare):
    out = bare.exec("""
from machine import LED, Pin
pin = Pin("PA3", Pin.OUT, value=1)
print(pin, pin.value(), pin())
pin.off()
print(pin.value())
lamp, level = LED("LED_RED"), Pin("PC0")
print(level.value())
lamp.on()
print(level.value())
lamp.toggle()
print(level.value())
for make in (lambda: Pin("PZ9"), lambda: Pin("PA16"), lambda: LED("LED_GREEN")):
    try:
        make()
    except ValueError as error:
        print(error)
""")
    assert out.splitlines() == [
        "Pin('A3') 1 1", "0", "1", "0", "1",
        "Pin(PZ9) doesn't exist", "Pin(PA16) doesn't exist", "LED(LED_GREEN) doesn't exist",
    ]  # fmt: skip


def test_identity(bare):
    out = bare.exec("""
import machine, os
print(machine.freq(), len(machine.unique_id()), os.uname().machine)
""")
    assert out == "480000000 12 OpenMV Cam H7 with LAN8742 with STM32H743\n"


def test_main_py_runs_after_boot_py(bare):
    bare.put("boot.py", b"order = ['boot']\n")
    bare.put("main.py", b"order.append('main')\nprint('order', order)\n")
    start = len(bare.console)
    bare.reset()
    assert b"order ['boot', 'main']\r\n" in bare.console[start:]


def test_soft_reset_in_the_raw_repl_runs_boot_py_alone(bare):
    """As upstream's ports do: mpremote's soft reset must not start the application."""
    bare.put("boot.py", b"print('boot ran')\n")
    bare.put("main.py", b"print('main ran')\n")
    start = len(bare.console)
    bare.engine.console_write(b"\x04")
    bare.expect("boot ran(.|\r|\n)*raw REPL", start=start)
    assert b"main ran" not in bare.console[start:]


def test_microseconds_go_on_while_interrupts_are_off(bare):
    """Over one tick: the pending one is counted."""
    out = bare.exec("""
import machine, time
last, ok = time.ticks_us(), True
state = machine.disable_irq()
for i in range(20):
    now = time.ticks_us()
    ok = ok and time.ticks_diff(now, last) >= 0
    last = now
machine.enable_irq(state)
print(ok)
""")
    assert out == "True\n"


@pytest.mark.parametrize("status", [7, -1, True, "no certificate: é\n", ""])
def test_exit_status(bare, status):
    """CPython, sys.exit(): zero or None is success, anything else failure."""
    with pytest.raises(ScriptExit) as told:
        bare.exec(f"import sys\nsys.exit({status!r})")
    assert (told.value.status, str(told.value)) == (status, f"the script exited with {status}")


def test_exit_without_failure(bare):
    bare.put("leaving.py", b"import sys\ndef leave(status): sys.exit(status)\n")
    for leave in ("sys.exit()", "sys.exit(0)", "sys.exit(None)", "raise SystemExit"):
        assert bare.exec(f"import sys\nprint(1)\n{leave}\nprint(2)") == "1\n"
    with pytest.raises(ScriptExit, match=r"^the script exited with 3$"):
        bare.exec("import leaving\nleaving.leave(3)")


def test_traceback_of_a_script_that_may_exit(bare):
    told = []
    for last in ("x = exit", "x = None"):  # the first goes to the camera in another way
        with pytest.raises(ScriptError) as raised:
            bare.exec(f"def inner():\n    return 1 / 0\n\ntry:\n    {last}\nexcept NameError:\n"
                      "    pass\ninner()")  # fmt: skip
        told.append(str(raised.value))
    assert told[0] == told[1]
    assert told[0].splitlines()[1:3] == [
        '  File "<stdin>", line 8, in <module>', '  File "<stdin>", line 2, in inner'
    ]  # fmt: skip


def test_time_server_that_is_not_there(testbed):
    """pool.ntp.org has an address where nobody answers: OSError ETIMEDOUT after a second."""
    camera = testbed(scenario=scenarios.loads('[dns.zone]\n"pool.ntp.org" = "192.168.1.77"\n'))
    began = camera.now
    with pytest.raises(ScriptError, match=r"OSError: (\[Errno 110\] )?.*(ETIMEDOUT|EHOSTUNREACH)"):
        camera.exec("import ntptime\nntptime.settime()")
    assert SECOND <= camera.now - began < 3 * SECOND


def test_time_server_without_a_name(testbed):
    camera = testbed(scenario=scenarios.loads(""))
    with pytest.raises(ScriptError, match="OSError: -"):
        camera.exec("import ntptime\nntptime.settime()")


def test_ssl_names_are_the_documented_ones(bare):
    out = bare.exec("""
import ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
names = context.get_ciphers()
print(len(names), all(n.startswith("TLS_") and "_WITH_" in n for n in names))
context.set_ciphers(names[:1])
try:
    context.set_ciphers("TLS_RSA_WITH_AES_128_CBC_SHA")
except TypeError:
    print("a str is no list")
print(context.verify_mode == ssl.CERT_NONE)
for call in (lambda: ssl.SSLContext(), lambda: ssl.SSLContext(protocol=0),
             lambda: context.wrap_socket(None, True)):
    try:
        call()
    except TypeError:
        print("TypeError")
""")
    assert out.splitlines() == [
        "18 True",
        "a str is no list",
        "True",
        "TypeError",
        "TypeError",
        "TypeError",
    ]


def test_names_of_tls_are_in_ssl_and_lib_is_on_the_path(bare):
    """As micropython-lib's ssl.py and upstream's ports have it."""
    assert bare.exec("""
import ssl, sys, tls
print([n for n in dir(tls) if n[0] != "_" and not hasattr(ssl, n)])
print(ssl.MBEDTLS_VERSION == tls.MBEDTLS_VERSION, sys.path[-1])
""") == "[]\nTrue /lib\n"  # fmt: skip


def test_a_timer_calls_until_it_is_told_not_to(bare):
    out = bare.exec("""
import gc, machine, time
calls = []
timer = machine.Timer(-1)
timer.init(period=10, callback=lambda t: calls.append(time.ticks_ms()))
gc.collect()
time.sleep_ms(105)
timer.deinit()
time.sleep_ms(50)
print(len(calls), {b - a for a, b in zip(calls, calls[1:])})
machine.Timer(period=20, mode=machine.Timer.ONE_SHOT, callback=lambda t: print("once"))
gc.collect()
time.sleep_ms(60)
""")
    assert out.splitlines() == ["10 {10}", "once"]


def test_a_soft_reset_ends_timers(bare):
    bare.exec("import machine\nmachine.Timer(period=1, callback=lambda t: print('again'))")
    bare.soft_reset()
    start = len(bare.console)
    bare.exec("import time\ntime.sleep_ms(100)")
    assert b"again" not in bare.console[start:]


def test_the_length_of_a_pulse(bare):
    """A level that never comes is -2, one that never ends -1."""
    out = bare.exec("""
import machine
pin = machine.Pin("PC0", machine.Pin.OUT)
for level in (0, 1):
    pin(level)
    print(machine.time_pulse_us(pin, 1, 1000))
print(machine.Signal(pin, invert=True).value())
""")
    assert out.splitlines() == ["-2", "-1", "0"]


def test_the_calendar_is_that_of_upstreams_stm32_port(bare):
    """The weekday runs from 1 for Monday, and is what was set; subseconds are microseconds."""
    out = bare.exec("""
import machine, time
rtc = machine.RTC()
print(rtc.datetime()[3])
rtc.datetime((2026, 11, 25, 3, 1, 2, 3, 0))
time.sleep_ms(500)
print(rtc.datetime()[:7], rtc.datetime()[7] // 10000, time.localtime()[6])
rtc.datetime((2026, 11, 25, 0, 1, 2, 3, 0))
print(rtc.datetime()[3])
""")
    assert out.splitlines() == ["4", "(2026, 11, 25, 3, 1, 2, 3) 50 2", "3"]  # 2015-01-01: Thursday


def test_a_file_that_was_opened_to_be_read_cannot_be_written(bare):
    out = bare.exec("""
with open("x", "w") as f: f.write("abc")
with open("x") as f:
    try: f.write("d")
    except OSError as error: print(error.errno)
print(open("x").read())
""")
    assert out.splitlines() == ["9", "abc"]


def test_gamma_of_minus_infinity_is_a_domain_error(bare):
    """As CPython, and tests/float/math_domain_special.py of upstream."""
    with pytest.raises(ScriptError, match="ValueError: math domain error"):
        bare.exec("import math\nmath.gamma(-math.inf)")


def test_a_datagram_to_a_group_arrives(testbed):
    camera = testbed()
    camera.exec("""
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 5353))
s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, bytes((224, 0, 0, 251, 0, 0, 0, 0)))
s.settimeout(1)
""")
    frame = Ether(src="02:00:00:00:00:99", dst="01:00:5e:00:00:fb")
    packet = IP(src="192.168.1.99", dst="224.0.0.251", ttl=1) / UDP(sport=5353, dport=5353)
    camera.engine.send_frame(bytes(frame / packet / b"who is there"))
    assert camera.exec("print(s.recvfrom(100))") == "(b'who is there', ('192.168.1.99', 5353))\n"
