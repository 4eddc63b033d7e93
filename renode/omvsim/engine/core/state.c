/* What the core is: its registers, and a snapshot of it between two runs. */
#include "core.h"

static const int ids[] = {
    UC_ARM_REG_R0, UC_ARM_REG_R1, UC_ARM_REG_R2, UC_ARM_REG_R3, UC_ARM_REG_R4, UC_ARM_REG_R5,
    UC_ARM_REG_R6, UC_ARM_REG_R7, UC_ARM_REG_R8, UC_ARM_REG_R9, UC_ARM_REG_R10, UC_ARM_REG_R11,
    UC_ARM_REG_R12, UC_ARM_REG_SP, UC_ARM_REG_LR, UC_ARM_REG_PC, UC_ARM_REG_XPSR, UC_ARM_REG_MSP,
    UC_ARM_REG_PSP, UC_ARM_REG_PRIMASK, UC_ARM_REG_BASEPRI, UC_ARM_REG_FAULTMASK,
    UC_ARM_REG_CONTROL, UC_ARM_REG_FPSCR,
};
enum { PC = 15, XPSR = 16, CONTROL = 22, IDS = sizeof ids / sizeof *ids };
_Static_assert(IDS + 32 == STATE_WORDS, "core.h says how many words a state has");

void state_registers(Core *c, uint32_t *words)
{
    for (int i = 0; i < IDS; i++)
        words[i] = core_reg(c, ids[i]);
    for (int i = 0; i < 16; i++)
        uc_reg_read(c->uc, UC_ARM_REG_D0 + i, &words[IDS + 2 * i]);
}

/* IPSR changes the banked stack pointer; the write to APSR_NZCV makes the core notice the
 * mode, without which EXC_RETURN is not recognised. */
void state_set_xpsr(Core *c, uint32_t xpsr)
{
    core_set_reg(c, UC_ARM_REG_XPSR_NZCVQG, xpsr);
    core_set_reg(c, UC_ARM_REG_APSR_NZCV, xpsr);
}

void state_save(Core *c, char *state)
{
    uint32_t words[STATE_WORDS];
    state_registers(c, words);
    memcpy(state, words, sizeof words);
    memcpy(state + sizeof words, &c->now, STATE_BYTES - sizeof words);
}

void state_load(Core *c, const char *state)
{
    uint32_t words[STATE_WORDS];
    memcpy(words, state, sizeof words);
    memcpy(&c->now, state + sizeof words, STATE_BYTES - sizeof words);
    state_set_xpsr(c, words[XPSR]); /* first: the mode and CONTROL choose what SP is */
    core_set_reg(c, UC_ARM_REG_CONTROL, words[CONTROL]);
    for (int i = 0; i < IDS; i++)
        if (i != XPSR && i != CONTROL)
            core_set_reg(c, ids[i], i == PC ? words[i] | 1 : words[i]);
    for (int i = 0; i < 16; i++)
        uc_reg_write(c->uc, UC_ARM_REG_D0 + i, &words[IDS + 2 * i]);
}
