"""What the rest of the testbed relies on in an engine, shown with the project's own image."""

import dataclasses
from datetime import UTC, datetime

import pytest
from omvsim.engine import choice, renode
from omvsim.errors import UserError
from omvsim.testbed import MILLISECOND, SECOND, FirmwareFault, Testbed

from netsim import scenario as scenarios


@pytest.fixture(params=choice.NAMES, autouse=True)
def engine(request, monkeypatch):
    """Every engine that is here."""
    if request.param == "renode":
        try:
            renode.find()
        except UserError as error:
            pytest.skip(str(error))
    monkeypatch.setenv(choice.VARIABLE, request.param)


@pytest.fixture
def quick(testbed):
    """A camera in a world without DHCP: the prompt is all there is to wait for."""

    def make(**changes):
        world = scenarios.loads("[dhcp]\nenabled = false\n" + changes.pop("toml", ""))
        return testbed(scenario=world, **changes)

    return make


def test_virtual_time_is_the_cameras_time(quick):
    camera = quick()
    start = camera.now
    slept = int(camera.exec(
        "import time\nt=time.ticks_us()\ntime.sleep(3)\nprint(time.ticks_diff(time.ticks_us(),t))"
    ))  # fmt: skip
    assert 3_000_000 <= slept <= 3_001_100  # a sleep ends with the first tick after its time
    assert 3 * SECOND <= camera.now - start < 3.2 * SECOND


def test_idle_time_costs_no_instructions(quick):
    camera = quick()
    before = camera.engine.instructions
    camera.exec("import time\ntime.sleep(10)")
    assert camera.engine.instructions - before < 100_000_000  # of 4,800 million clocks


def test_entropy_follows_the_seed(quick):
    script = "import os\nprint(os.urandom(16))"
    first, again, other = (quick(seed=seed).exec(script) for seed in (1, 1, 2))
    assert first == again != other


def test_reset_button_and_software_reset_are_told_apart(quick):
    camera = quick()
    cause = "import machine\nprint([n for n in ('PWRON_RESET','HARD_RESET','SOFT_RESET') " \
        "if machine.reset_cause() == getattr(machine, n)])"  # fmt: skip
    assert camera.exec(cause) == "['PWRON_RESET']\n"
    camera.reset()
    assert camera.exec(cause) == "['HARD_RESET']\n"
    start = len(camera.console)
    camera.engine.console_write(b"\x02import machine\rmachine.reset()\r")
    camera.expect("OpenMV Cam H7.*(\r\n.*)*>>> $", start=start)


def test_files_and_the_clock_survive_resets(quick):
    camera = quick()
    content = bytes(range(256)) * 40
    camera.put("data.bin", content)
    camera.exec("import machine\nmachine.RTC().datetime((2031,2,3,0,4,5,6,0))")
    camera.reset()
    assert camera.get("data.bin") == content
    assert camera.exec("import time\nprint(time.gmtime()[:4])") == "(2031, 2, 3, 4)\n"
    camera.soft_reset()
    assert camera.get("data.bin") == content


def test_file_system_takes_many_files_and_rewrites(quick):
    """Sectors of 128 KiB are erased and rewritten behind blocks of 4 KiB."""
    camera = quick()
    out = camera.exec("""
import os
for i in range(40):
    with open('f%d' % i, 'wb') as f:
        f.write(bytes([i]) * 5000)
for i in range(0, 40, 2):
    os.remove('f%d' % i)
for i in range(1, 40, 2):
    with open('f%d' % i, 'ab') as f:
        f.write(b'end')
print(all(open('f%d' % i, 'rb').read() == bytes([i]) * 5000 + b'end' for i in range(1, 40, 2)))
print(len(os.listdir()))
""", 600 * SECOND)  # fmt: skip
    assert out == "True\n20\n"
    camera.reset()
    assert camera.exec("print(len(open('f39','rb').read()))") == "5003\n"


def test_clock_starts_in_2015_without_a_battery(quick):
    assert quick().exec("import time\nprint(time.gmtime()[:3])") == "(2015, 1, 1)\n"


def test_clock_runs_on_with_a_battery(testbed):
    world = scenarios.default()
    rtc = datetime(2029, 12, 31, 23, 59, 58, tzinfo=UTC)
    camera = testbed(
        scenario=dataclasses.replace(world, camera=dataclasses.replace(world.camera, rtc=rtc))
    )
    shown = camera.exec("import time\ntime.sleep(3)\nprint(time.gmtime()[:4])")
    assert shown == "(2030, 1, 1, 0)\n"


def test_null_pointer_write_is_a_fault_with_its_address(quick):
    camera = quick()
    with pytest.raises(FirmwareFault) as raised:
        camera.exec("import machine\nmachine.mem32[0x10] = 1")
    fault = raised.value.fault
    assert fault.exception == "MemManage"
    assert fault.causes == ["DACCVIOL", "MMFAR=0x00000010"]
    text = camera.console.decode(errors="replace")
    assert "FATAL: MemManage" in text  # the firmware's own report
    assert f"PC 0x{fault.pc:08X}" in text
    assert "MMFAR 0x00000010" in text


def test_bus_error_is_a_fault(quick):
    camera = quick()
    with pytest.raises(FirmwareFault) as raised:
        camera.exec("import machine\nprint(machine.mem32[0xD0000000])")
    assert raised.value.fault.causes == ["PRECISERR", "BFAR=0xD0000000"]


def test_access_that_nothing_models_is_listed_once_with_its_count(quick):
    camera = quick()
    camera.exec("import machine\nfor i in range(5): machine.mem32[0x40008800] = 7")
    (access,) = camera.engine.unmodelled
    assert (access.address, access.write, access.value, access.count) == (0x40008800, True, 7, 5)


def test_cable_out_and_in_again(testbed):
    camera = testbed()
    status = "import network\nn=network.LAN()\nprint(n.status(), n.isconnected())"
    assert camera.exec(status) == "3 True\n"
    camera.set_link(False)
    camera.run_for(1100 * MILLISECOND)  # the port looks once a second
    assert camera.exec(status).endswith("False\n")
    camera.set_link(True)
    camera.run_for(5 * SECOND)
    assert camera.exec(status) == "3 True\n"
    assert camera.ping() < 10 * MILLISECOND


def test_a_console_of_nine_bits_shows_eight(testbed):
    """RM0433 48.7.1: M = 01. Nobody at a terminal has a ninth."""
    camera = testbed()
    told = camera.exec(
        "import machine, time\nm, uart = machine.mem32, 0x40004800\n"
        "old = m[uart]\ntime.sleep_ms(5)\n"
        "m[uart] = old & ~1\nm[uart] = old & ~1 | 1 << 12\nm[uart] = old | 1 << 12\n"
        "m[uart + 0x28] = 0x141\ntime.sleep_ms(5)\nm[uart] = old & ~1\nm[uart] = old\nprint('b')"
    )
    assert told == "Ab\n"


def test_a_cable_that_suffers_is_out_from_then_on(testbed):
    camera = testbed()
    camera.run_for(300 * MILLISECOND)  # the network's time is the camera's
    camera.suffer(kind="link_down")
    camera.run_for(1100 * MILLISECOND)
    assert camera.exec("import network\nprint(network.LAN().isconnected())") == "False\n"


def test_ping_of_every_size_that_fits_a_frame(testbed):
    camera = testbed()
    for size in (0, 1, 17, 18, 500, 1472):
        assert camera.ping(size) < 10 * MILLISECOND


def test_two_cameras_in_one_process(quick):
    one, two = quick(), quick(seed=2)
    one.exec("x = 1")
    two.exec("x = 2")
    assert (one.exec("print(x)"), two.exec("print(x)")) == ("1\n", "2\n")


def test_interrupt_character_stops_a_script(quick):
    camera = quick()
    camera.friendly()
    start = len(camera.console)
    camera.engine.console_write(b"while True: pass\r\r")
    camera.run_for(200 * MILLISECOND)
    camera.engine.console_write(b"\x03")
    camera.expect("KeyboardInterrupt", start=start)


def test_uart_loses_nothing_at_its_baud_rate(quick):
    """16 KiB of source through raw paste, without a byte lost or doubled."""
    camera = quick()
    text = "".join(f"{i:04x}" for i in range(4096))
    assert camera.exec(f"print({text!r})") == text + "\n"


def test_heap_holds_a_tls_server_and_a_client_at_once(quick):
    assert int(quick().exec("import gc\ngc.collect()\nprint(gc.mem_free())")) > 256 * 1024


def test_testbed_is_no_test():
    assert Testbed.__test__ is False
