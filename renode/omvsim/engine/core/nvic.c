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

static uint64_t systick_divider(Core *c)
{
    /* CLKSOURCE 0 is the core clock divided by 8 on the STM32H7 (RM0433 8.5.5). */
    return c->systick.ctrl & 4 ? 1 : 8;
}

static uint64_t systick_period(Core *c)
{
    return (c->systick.load + 1ull) * systick_divider(c);
}

/* How often the counter has come to 0: 0 at base, -1 before it and while it stands. */
static int64_t systick_wraps(Core *c)
{
    if (!(c->systick.ctrl & 1) || c->now < c->systick.base)
        return -1;
    return c->systick.load ? (int64_t)((c->now - c->systick.base) / systick_period(c)) : 0;
}

/* The next wrap that asks for the exception. */
uint64_t systick_due(Core *c)
{
    if ((c->systick.ctrl & 3) != 3)
        return NEVER;
    if (c->systick.taken < 0)
        return c->systick.base;
    return c->systick.load ? c->systick.base + (c->systick.taken + 1) * systick_period(c) : NEVER;
}

void systick_update(Core *c)
{
    if (c->now < systick_due(c))
        return;
    c->systick.taken = systick_wraps(c);
    nvic_pend(c, SYSTICK);
}

uint32_t systick_value(Core *c)
{
    uint64_t divider = systick_divider(c);
    if (!(c->systick.ctrl & 1))
        return c->systick.held;
    if (c->now < c->systick.base) {
        uint64_t left = (c->systick.base - c->now + divider - 1) / divider;
        return left < c->systick.held ? (uint32_t)left : c->systick.held;
    }
    if (!c->systick.load)
        return 0;
    uint32_t phase = (c->now - c->systick.base) / divider % (c->systick.load + 1ull);
    return phase ? c->systick.load + 1 - phase : 0;
}

/* Reading CSR clears COUNTFLAG (B3.3.3). */
uint32_t systick_status(Core *c)
{
    int64_t wraps = systick_wraps(c);
    uint32_t countflag = wraps > c->systick.seen;
    c->systick.seen = wraps;
    return c->systick.ctrl | countflag << 16;
}

/* Go on from a value of the counter; 0 takes LOAD at the next clock. Wraps that have been are
 * taken here: one without TICKINT is not made up for, one that CSR has not told yet is kept. */
static void systick_set(Core *c, uint32_t ctrl, uint32_t load, uint32_t value)
{
    systick_update(c);
    bool counted = systick_wraps(c) > c->systick.seen, goes_on = ctrl & c->systick.ctrl & 1;
    uint64_t divider = systick_divider(c), part = (c->now - c->systick.base) % divider;
    c->systick.ctrl = ctrl & 7;
    c->systick.load = load & 0xFFFFFF;
    c->systick.held = value;
    c->systick.base = c->now + value * systick_divider(c);
    if (!value && (ctrl & 1) && c->systick.load) {
        c->systick.held = c->systick.load;
        c->systick.base += systick_period(c);
    } else if (goes_on && divider == systick_divider(c)) {
        c->systick.base -= part; /* of the divider's eight clocks */
    }
    c->systick.taken = systick_wraps(c);
    c->systick.seen = c->systick.taken - counted;
    c->deadline = 0;
}

void systick_control(Core *c, uint32_t value)
{
    systick_set(c, value, c->systick.load, systick_value(c));
}

/* The counter that runs takes the new value when it has come to 0 (B3.3.4). */
void systick_reload(Core *c, uint32_t value)
{
    systick_set(c, c->systick.ctrl, value, systick_value(c));
}

/* Any write to CVR makes it 0 and clears COUNTFLAG (B3.3.5). */
void systick_clear(Core *c)
{
    systick_set(c, c->systick.ctrl, c->systick.load, 0);
    c->systick.seen = c->systick.taken;
}
