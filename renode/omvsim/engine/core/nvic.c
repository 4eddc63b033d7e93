/* NVIC and SysTick (DDI 0403 B3.3, B3.4; priorities B1.5.4). */
#include "core.h"

bool nvic_bit(const uint32_t *bits, int n) { return bits[n >> 5] >> (n & 31) & 1; }

void nvic_assign(uint32_t *bits, int n, bool value)
{
    uint32_t mask = 1u << (n & 31);
    bits[n >> 5] = value ? bits[n >> 5] | mask : bits[n >> 5] & ~mask;
}

void nvic_reset(Core *c)
{
    uint32_t level[WORDS];
    memcpy(level, c->nvic.level, sizeof level);
    memset(&c->nvic, 0, sizeof c->nvic);
    memcpy(c->nvic.level, level, sizeof level); /* lines belong to the peripherals */
    c->nvic.enabled[0] = 0xFFFF;
    memset(&c->systick, 0, sizeof c->systick);
}

void nvic_pend(Core *c, int exception)
{
    nvic_assign(c->nvic.pending, exception, true);
    c->deadline = 0; /* sampled at the next block */
}

void nvic_unpend(Core *c, int exception) { nvic_assign(c->nvic.pending, exception, false); }

void nvic_set_line(Core *c, int exception, bool level)
{
    if (level && !nvic_bit(c->nvic.level, exception))
        nvic_pend(c, exception);
    nvic_assign(c->nvic.level, exception, level);
}

static int group_mask(Core *c)
{
    return 0xFF << ((c->aircr >> 8 & 7) + 1) & 0xFF;
}

int nvic_group_priority(Core *c, int exception)
{
    switch (exception) {
    case RESET: return -3;
    case NMI: return -2;
    case HARD_FAULT: return -1;
    default: return c->nvic.priority[exception] & group_mask(c);
    }
}

int nvic_execution_priority(Core *c, bool honour_primask)
{
    int priority = 256;
    for (int w = 0; w < WORDS; w++)
        for (uint32_t bits = c->nvic.active[w]; bits; bits &= bits - 1) {
            int p = nvic_group_priority(c, w * 32 + __builtin_ctz(bits));
            if (p < priority)
                priority = p;
        }
    int basepri = core_reg(c, UC_ARM_REG_BASEPRI) & group_mask(c);
    if (basepri && basepri < priority)
        priority = basepri;
    if (honour_primask && priority > 0 && (core_reg(c, UC_ARM_REG_PRIMASK) & 1))
        priority = 0;
    if (priority > -1 && (core_reg(c, UC_ARM_REG_FAULTMASK) & 1))
        priority = -1;
    return priority;
}

bool nvic_any_pending(Core *c)
{
    for (int w = 0; w < WORDS; w++)
        if (c->nvic.pending[w] & c->nvic.enabled[w])
            return true;
    return false;
}

/* The pending, enabled exception of highest priority below (that is: more urgent than)
 * the given execution priority, or 0. The lower number wins among equals. */
int nvic_candidate(Core *c, int below)
{
    int best = 0, best_group = below, best_priority = 256;
    for (int w = 0; w < WORDS; w++)
        for (uint32_t bits = c->nvic.pending[w] & c->nvic.enabled[w]; bits; bits &= bits - 1) {
            int n = w * 32 + __builtin_ctz(bits);
            int group = nvic_group_priority(c, n);
            int priority = n < MEM_MANAGE ? group : c->nvic.priority[n];
            if (group < best_group || (best && group == best_group && priority < best_priority)) {
                best = n;
                best_group = group;
                best_priority = priority;
            }
        }
    return best;
}

static uint64_t systick_period(Core *c)
{
    /* CLKSOURCE 0 is the core clock divided by 8 on the STM32H7 (RM0433 8.5.5). */
    uint64_t divider = c->systick.ctrl & 4 ? 1 : 8;
    return (c->systick.load + 1ull) * divider;
}

uint64_t systick_due(Core *c)
{
    if ((c->systick.ctrl & 3) != 3 || !c->systick.load)
        return NEVER;
    return c->systick.base + (c->systick.taken + 1) * systick_period(c);
}

void systick_update(Core *c)
{
    if (c->now < systick_due(c))
        return;
    c->systick.taken = (c->now - c->systick.base) / systick_period(c);
    nvic_pend(c, SYSTICK);
}
