"""IT blocks whose accesses miss the TLB or meet a hook (DDI 0403 A7.3.3): the instructions
after the block run unconditionally and set flags."""

import pytest

SOURCE = """
    .thumb_func
reset:
    ldr r0, ={address}
    ldr r4, =0x40000000
    movs r2, #1
    {first}
    bl function
    subs r6, r2, r2
    bne 1f
    movs r5, #1
    str r5, [r4]
    b .
1:  movs r5, #2
    str r5, [r4]
    b .
    .thumb_func
function:
    lsls r2, r2, #31
    itt ne
    {access}
    addne r7, r7, #1
    bx lr
"""
ADDRESSES = {
    "RAM": 0x20003000,
    "plain register": 0x40000004,
    "unmodelled register": 0x4000000C,
    "private bus": 0xE000ED08,
    "flash": 0x08003000,
}


@pytest.mark.parametrize("first", ["nop", "ldr r1, [r0]"], ids=["first access", "page known"])
@pytest.mark.parametrize(
    "access", ["ldrbne r3, [r0]", "strbne r3, [r0]", "ldrbne r3, [r0], #1", "strne r3, [r0]"]
)
@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
def test_instructions_after_an_it_block(program, address, access, first):
    p = program(SOURCE.format(address=address, access=access, first=first))
    p.run()
    assert p.writes == [1]


@pytest.mark.parametrize("access", ["ldrbne r3, [r0], #1", "strbne r3, [r0], #1"])
def test_the_way_on_from_an_it_block_once_its_page_is_known(program, access):
    """Unicorn links blocks: the link made after a miss must not lead to a block under IT bits."""
    p = program(f"""
        .thumb_func
    reset:
        ldr r0, =0x20003000
        ldr r4, =0x40000000
        movs r7, #3
        b 1f
        nop
    1:  movs r2, #1
        lsls r3, r2, #31
        itt ne
        {access}
        addne r6, r6, #1
        b 2f
        nop
    2:  subs r5, r2, r2
        beq 3f
        str r7, [r4]
    3:  subs r7, r7, #1
        bne 1b
        str r7, [r4]
        b .
    """)
    p.run()
    assert p.writes == [0]
