/* Exception entry, return and faults (DDI 0403 B1.5). */
#include "core.h"

#define THREAD_PSP 0xFFFFFFFDu
#define THREAD_MSP 0xFFFFFFF9u
#define HANDLER_MSP 0xFFFFFFF1u
#define FRAME_BASIC 0x10u /* EXC_RETURN[4]: no FP state in the frame */
#define FPCA 4u
#define SPSEL 2u

/* In the order of their words in a frame; xPSR is the eighth. */
static const int stacked[] = {UC_ARM_REG_R0, UC_ARM_REG_R1, UC_ARM_REG_R2, UC_ARM_REG_R3,
                              UC_ARM_REG_R12, UC_ARM_REG_LR, UC_ARM_REG_PC};

static bool stack_ok(Core *c, uint32_t address, uint32_t size, bool write)
{
    return bus_region(c, address, size) && !mpu_denies(c, address, write) &&
           !mpu_denies(c, address + size - 1, write);
}

static uint32_t *at(Core *c, uint32_t address)
{
    Region *r = bus_region(c, address, 4);
    return (uint32_t *)(r->data + (address - r->base));
}

static void jump(Core *c, int exception)
{
    uint32_t address = c->vtor + 4u * exception;
    if (!bus_region(c, address, 4)) {
        c->hfsr |= HFSR_VECTTBL;
        c->lockup = true;
        return;
    }
    uint32_t vector = *at(c, address);
    core_set_reg(c, UC_ARM_REG_PC, vector | 1);
    if (!(vector & 1)) /* a vector without the Thumb bit faults on its first instruction */
        exception_fault(c, USAGE_FAULT, INVSTATE, 0);
}

void exception_enter(Core *c, int exception)
{
    uint32_t control = core_reg(c, UC_ARM_REG_CONTROL);
    uint32_t xpsr = core_reg(c, UC_ARM_REG_XPSR);
    bool handler = xpsr & 0x1FF, extended = control & FPCA;
    uint32_t sp = core_reg(c, UC_ARM_REG_SP), size = extended ? 104 : 32;
    uint32_t align = sp & 4; /* CCR.STKALIGN is 1 on the Cortex-M7 */
    uint32_t frame = (sp - size) & ~7u;
    uint32_t exc_return = handler ? HANDLER_MSP : control & SPSEL ? THREAD_PSP : THREAD_MSP;
    if (extended)
        exc_return &= ~FRAME_BASIC;

    if (stack_ok(c, frame, size, true)) {
        uint32_t *f = at(c, frame);
        void *words[] = {f, f + 1, f + 2, f + 3, f + 4, f + 5, f + 6};
        uc_reg_read_batch(c->uc, stacked, words, 7);
        f[7] = (xpsr & ~(1u << 9)) | (1u << 24) | (align ? 1u << 9 : 0);
        if (extended) {
            for (int i = 0; i < 16; i++)
                f[8 + i] = core_reg(c, UC_ARM_REG_S0 + i);
            f[24] = core_reg(c, UC_ARM_REG_FPSCR);
            c->fpcar = frame + 32;
        }
    } else if (exception != HARD_FAULT) {
        bool denied = bus_region(c, frame, size) != NULL;
        nvic_unpend(c, exception);
        exception_fault(c, denied ? MEM_MANAGE : BUS_FAULT, denied ? MSTKERR : STKERR, 0);
        return;
    }
    core_set_reg(c, UC_ARM_REG_SP, frame);
    core_set_reg(c, UC_ARM_REG_CONTROL, control & ~(SPSEL | FPCA)); /* back on MSP while in thread mode */
    state_set_xpsr(c, (xpsr & 0xF80F0000u) | 1u << 24 | exception);
    core_set_reg(c, UC_ARM_REG_LR, exc_return);
    nvic_unpend(c, exception);
    nvic_assign(c->nvic.active, exception, true);
    c->event_register = true;
    if (extended)
        core_set_reg(c, UC_ARM_REG_FPSCR, c->fpdscr);
    jump(c, exception);
}

void exception_return(Core *c, uint32_t exc_return)
{
    int leaving = core_reg(c, UC_ARM_REG_XPSR) & 0x1FF;
    bool to_thread = exc_return & 8, psp = exc_return & 4, extended = !(exc_return & FRAME_BASIC);
    nvic_assign(c->nvic.active, leaving, false);
    if (leaving != HARD_FAULT && leaving != NMI)
        core_set_reg(c, UC_ARM_REG_FAULTMASK, 0);
    if (nvic_bit(c->nvic.level, leaving)) /* a level that still stands pends again */
        nvic_pend(c, leaving);

    bool nested = false;
    for (int w = 0; w < WORDS; w++)
        nested |= c->nvic.active[w] != 0;
    if (nested == to_thread || (psp && !to_thread) || (exc_return & 0xFFFFFFE3u) != 0xFFFFFFE1u) {
        exception_fault(c, USAGE_FAULT, INVPC, 0);
        return;
    }
    uint32_t frame = core_reg(c, psp ? UC_ARM_REG_PSP : UC_ARM_REG_MSP);
    uint32_t size = extended ? 104 : 32;
    if (!stack_ok(c, frame, size, false)) {
        bool denied = bus_region(c, frame, size) != NULL;
        exception_fault(c, denied ? MEM_MANAGE : BUS_FAULT, denied ? MSTKERR >> 1 : STKERR >> 1, 0);
        return;
    }
    uint32_t f[26];
    memcpy(f, at(c, frame), size);
    state_set_xpsr(c, f[7] & ~(1u << 9));
    if (to_thread) {
        uint32_t control = core_reg(c, UC_ARM_REG_CONTROL) & ~(SPSEL | FPCA);
        core_set_reg(c, UC_ARM_REG_CONTROL, control | (psp ? SPSEL : 0) | (extended ? FPCA : 0));
    } else if (extended) {
        core_set_reg(c, UC_ARM_REG_CONTROL, core_reg(c, UC_ARM_REG_CONTROL) | FPCA);
    }
    void *words[] = {f, f + 1, f + 2, f + 3, f + 4, f + 5};
    uc_reg_write_batch(c->uc, stacked, words, 6);
    if (extended) {
        for (int i = 0; i < 16; i++)
            core_set_reg(c, UC_ARM_REG_S0 + i, f[8 + i]);
        core_set_reg(c, UC_ARM_REG_FPSCR, f[24]);
    }
    core_set_reg(c, UC_ARM_REG_SP, (frame + size) | (f[7] >> 9 & 1) << 2);
    core_set_reg(c, UC_ARM_REG_PC, f[6] | 1);
    c->event_register = true;
    if ((c->scr & 2) && to_thread) /* SLEEPONEXIT */
        core_sleep(c);
}

/* Take a synchronous fault, escalated to HardFault where its own handler cannot run
 * (B1.5.14), or lock up. */
void exception_fault(Core *c, int exception, uint32_t status, uint32_t address)
{
    if (exception == HARD_FAULT)
        c->hfsr |= status;
    else
        c->cfsr |= status;
    if (status & DACCVIOL) {
        c->mmfar = address;
        c->cfsr |= MMARVALID;
    }
    if (status & PRECISERR) {
        c->bfar = address;
        c->cfsr |= BFARVALID;
    }
    int priority = nvic_execution_priority(c, true);
    bool enabled = exception == HARD_FAULT || c->shcsr >> (16 + exception - MEM_MANAGE) & 1;
    if (!enabled || nvic_group_priority(c, exception) >= priority) {
        if (exception != HARD_FAULT)
            c->hfsr |= HFSR_FORCED;
        exception = HARD_FAULT;
    }
    Fault *f = &c->fault;
    f->valid = true;
    f->exception = exception;
    f->now = c->now;
    for (int i = 0; i < 13; i++)
        f->r[i] = core_reg(c, UC_ARM_REG_R0 + i);
    f->r[13] = core_reg(c, UC_ARM_REG_SP);
    f->r[14] = core_reg(c, UC_ARM_REG_LR);
    f->r[15] = core_reg(c, UC_ARM_REG_PC);
    f->xpsr = core_reg(c, UC_ARM_REG_XPSR);
    f->cfsr = c->cfsr;
    f->hfsr = c->hfsr;
    f->mmfar = c->mmfar;
    f->bfar = c->bfar;
    c->fault_stop = true;
    if (exception == HARD_FAULT && priority <= -1) {
        c->lockup = true;
        return;
    }
    exception_enter(c, exception);
}

/* Reset: SP and PC from the vector table (B1.5.5). */
bool core_boot(Core *c)
{
    static const int zero[] = {UC_ARM_REG_R0, UC_ARM_REG_R1, UC_ARM_REG_R2, UC_ARM_REG_R3,
                               UC_ARM_REG_R4, UC_ARM_REG_R5, UC_ARM_REG_R6, UC_ARM_REG_R7,
                               UC_ARM_REG_R8, UC_ARM_REG_R9, UC_ARM_REG_R10, UC_ARM_REG_R11,
                               UC_ARM_REG_R12, UC_ARM_REG_PRIMASK, UC_ARM_REG_BASEPRI,
                               UC_ARM_REG_FAULTMASK, UC_ARM_REG_FPSCR};
    c->vtor = c->vtor_reset;
    c->aircr = c->scr = c->shcsr = c->cfsr = c->hfsr = c->dfsr = c->cpacr = 0;
    c->fpcar = c->fpdscr = c->demcr = c->dwt_ctrl = c->csselr = 0;
    c->fpccr = 0xC0000000u;
    c->ccr = 0x200;
    c->mpu_ctrl = c->mpu_rnr = 0;
    memset(c->mpu, 0, sizeof c->mpu);
    c->mpu_changed = true;
    c->sleeping = c->event_register = c->reset_request = c->lockup = false;
    c->deep = c->deep_asked = false;
    c->deep_since = 0;
    c->stop = c->fault_stop = false;
    c->fault.valid = false;
    nvic_reset(c);
    leap_reset(c);
    uc_ctl_flush_tlb(c->uc); /* else what ran before the reset decides where accesses miss */
    state_set_xpsr(c, 1u << 24);   /* thread mode */
    core_set_reg(c, UC_ARM_REG_CONTROL, 0);
    for (size_t i = 0; i < sizeof zero / sizeof *zero; i++)
        core_set_reg(c, zero[i], 0);
    for (int i = 0; i < 32; i++)
        core_set_reg(c, UC_ARM_REG_S0 + i, 0);
    core_set_reg(c, UC_ARM_REG_LR, 0xFFFFFFFFu);
    if (!bus_region(c, c->vtor, 8))
        return false;
    uint32_t *vectors = at(c, c->vtor);
    core_set_reg(c, UC_ARM_REG_PSP, 0);
    core_set_reg(c, UC_ARM_REG_SP, vectors[0] & ~3u);
    core_set_reg(c, UC_ARM_REG_PC, vectors[1] | 1);
    return true;
}
