"""The blocks' registers against the vendor's description (CMSIS-SVD), whose file OMVSIM_SVD names,
STM32H743.svd: offsets, reset values and access rights."""

import os
import re
from pathlib import Path

import pytest
from fake import FakeMachine
from omvsim.board import load
from omvsim.peripherals.base import Peripheral, Reg

BOARD = Path(__file__).parents[2] / "renode" / "portenta_h7.repl"  # it has most blocks
PATH = os.environ.get("OMVSIM_SVD", "")

#: what differs, and why it is right that it does; RM is RM0433
EXPLAINED = {
    r"TIM\d+\.\w+ (\w+ )?not in the file": "one class for all timers: it has more than the small",
    r"TIM\d+\.(DMAR|AF2) not modelled": "README: no DMA, no break inputs",
    r"TIM\d+\.ARR resets to": "0 in the file, all ones in RM",
    r"(SDMMC\d|EXTI|SYSCFG|RCC|Ethernet_MAC)\.\w+ not in the file": "in RM, not in the file",
    r"GPIO[B-K]\.\w+ resets to": "the file derives all ports from A; RM has each",
    r"GPIOA\.IDR resets to": "the pull-ups of the debug port's pins",
    r"RCC\.(C1_)?A\w+LPENR resets to": "0 in the file, not in RM",
    r"HSEM\.HSEM_ICR is writable": "what clears ISR has to be written (10.4.4)",
    r"RCC\.(CR|C1_APB4ENR) resets to": "the file gives 0 for ready flags and a second name",
    r"ADC\d\.(CR|CFGR|\w*HTR\d|LTR1) resets to": "other values in the file than in RM",
    r"DMAMUX2\.RGCFR is writable": "what clears RGSR has to be written",
    r"RTC\.RTC_ISR resets to": "the shadow registers' flag, as after their first period",
    r"EXTI\.CPUIMR[23] resets to": "other values in the file than in RM",
    r"Flash\.(CRC\w+|ECC_FA\dR|BOOT_\w+_) not modelled": "README: no CRC unit, no ECC",
    r"Flash\.\w+ resets to": "the file gives 0 where RM gives option bytes from the factory",
    r"(RCC\.(RSR|APB4ENR)|SYSCFG\.CCVR|Ethernet_MAC\.MACCR) resets to": "0 in the file, not in RM",
    r"PWR\.(CSR1|D3CR) resets to": "ready flags, which RM gives as they are an instant later",
    r"GPIOA\.PUPDR resets to": "PA13 to PA15: the file has them in the wrong place",
    r"DBGMCU\.IDC resets to": "revision V of RM's table; the file has an early one",
    r"SDMMC\d\.(VER|ID) not modelled": "not in RM",
    r"SDMMC\d\.RESPCMDR resets to": "0 in RM",
    r"Ethernet_MAC\.(TX|RX)_\w+ not modelled": "README: some counters",
    r"Ethernet_MAC\.MAC(L3|L4|ARP|TS|SS|ST|Tx|AC|AT|PPS|PO|SPI|LMI)\w* not modelled":
        "README: no PTP, no layer 3",
    r"OTG\d_HS_GLOBAL\.OTG_HS_(GOTGCTL|GUSBCFG|GRSTCTL|HNPTXFSIZ_Host|CID) resets to":
        "the file has an older core's",
    r"OTG\d_HS_DEVICE\.OTG_HS_(DCTL|DIEPCTL0|D(IEP|OEP)INT[1-7]|DTXFSTS\d) resets to":
        "the file has an older core's, or 0 for all endpoints but one",
    r"OTG\d_HS_HOST\.OTG_HS_HC\w+1[2-5] not modelled": "at other addresses than in RM",
    r"OTG\d_HS_DEVICE\.OTG_HS_DTXFSTS[67] not modelled": "at other addresses than in RM",
    r"OTG\d_HS_GLOBAL\.at_(6[EF]|[9A-C]\w)\w not in the file": "in RM, not in the file",
    r"OTG\d_HS_GLOBAL\.at_[45]\w not in the file": "what drivers read, and RM does not tell",
    r"OTG\d_HS_(HOST|DEVICE)\.OTG_HS_(HPTXSTS|DEACHINT) is read-only": "status",
    r"(Flash|RCC|PWR|SYSCFG|RNG|RTC|EXTI|I2C\d|SPI\d)\.\w+ is ":
        "RM gives other rights",
}  # fmt: skip


def differences() -> tuple[int, list[str]]:
    """Registers that were compared, and what differs."""
    parser = pytest.importorskip("cmsis_svd.parser")
    device = parser.SVDParser.for_xml_file(PATH).get_device()
    board = load(BOARD)
    components = board.build(FakeMachine()).components
    compared, found = 0, []
    for name, entry in board.entries.items():
        block = components.get(name)
        for place in entry.registrations if isinstance(block, Peripheral) else ():
            assert isinstance(block, Peripheral)
            first, size = block.regions[place.region]
            known = [p for p in device.peripherals if 0 <= p.base_address - place.address < size]
            if not known:
                found.append(f"{name}: nothing at {place.address}")
                continue
            ours = {
                at: reg
                for reg in block._registers.values()
                for at in reg.offsets()
                if not block._absent[0] <= at // 4 < block._absent[1]
            }
            theirs: dict[int, list] = {}
            for part in known:
                for register in part.registers:
                    at = first + part.base_address - place.address + register.address_offset
                    theirs.setdefault(at, []).append((part.name, register))
            for at, registers in theirs.items():
                compared += 1
                where = ".".join((registers[0][0], registers[0][1].name))
                if at not in ours:
                    found.append(f"{where} not modelled")
                    continue
                resets = {register.reset_value or 0 for _, register in registers}
                if block.mem[at // 4] not in resets:
                    found.append(f"{where} resets to 0x{block.mem[at // 4]:08X}")
                if (rights := differs(ours[at], registers[0][1])) is not None:
                    found.append(f"{where} is {rights}")
            more = {at for at in ours if first <= at < first + size} - theirs.keys()
            found += [f"{known[0].name}.at_{at:X} not in the file" for at in sorted(more)]
    return compared, found


def differs(ours: Reg, register: object) -> str | None:
    """How the model's access differs from the file's."""
    fields = getattr(register, "fields", None) or []
    kinds = {getattr(each, "access", None) for each in (register, *fields)} - {None}
    names = {kind.name for kind in kinds}
    writes = any(ours.masks[k] for k in ("rw", "w", "w1c", "rc_w0")) or bool(ours.write_hook)
    if names == {"READ_ONLY"} and writes:
        return "writable, the file says read-only"
    if names - {"READ_ONLY"} and not writes:
        return "read-only, the file says writable"
    return None


@pytest.mark.skipif(not PATH, reason="OMVSIM_SVD names no STM32H743.svd; pip install cmsis-svd")
def test_registers_are_the_vendors() -> None:
    compared, found = differences()
    unexplained = [f for f in found if not any(re.match(why, f) for why in EXPLAINED)]
    print(f"{compared} registers compared, {len(found) - len(unexplained)} differences explained")
    assert compared > 900
    assert not unexplained
    unused = [why for why in EXPLAINED if not any(re.match(why, f) for f in found)]
    assert not unused
