"""A run may end after any block, also where Unicorn splits straight-line code in two: what
the program computes does not depend on it."""

import pytest

#: the sum, by 64-bit additions, of what the registers hold; as long as code of a cipher is
BODY = "\n".join(
    f"    adds r0, r0, r2\n    adc r1, r1, r3\n    eor r2, r2, r0, lsl #{n % 7 + 1}\n"
    f"    ldr r5, [r6, #{n % 8 * 4}]\n    add r3, r3, r5"
    for n in range(700)
)
SOURCE = f"""
    .thumb_func
reset:
    ldr r4, =0x40000000
    ldr r0, =0x89ABCDEF
    ldr r1, =0x01234567
    ldr r2, =0xFEDCBA98
    ldr r3, =0x76543210
    ldr r6, =0x20001000
    movs r7, #8
    b.w 1f
    .ltorg
1:  str r2, [r6, #16]
{BODY}
    subs r7, #1
    bne.w 1b
    str r0, [r4]
    str r1, [r4]
    b .
"""


@pytest.mark.parametrize("stride", [1, 101])
def test_a_sum_with_carries_whenever_the_run_ends(program, stride):
    whole = program(SOURCE)
    whole.run(100_000)
    pieces = program(SOURCE)
    while pieces.core.now < whole.core.now:
        pieces.run(stride)
    assert len(whole.writes) == 2
    assert pieces.writes == whole.writes
