/* The private peripheral bus: SCB, SysTick and NVIC registers, MPU, DWT (DDI 0403 B3, C1;
 * values of the Cortex-M7 from its Technical Reference Manual, DDI 0489). */
#include "core.h"

enum {
    ITM_STIM0 = 0x0000, ITM_END = 0x0400, DWT_CTRL = 0x1000, DWT_CYCCNT = 0x1004,
    ICTR = 0xE004, ACTLR = 0xE008, SYST_CSR = 0xE010, SYST_RVR = 0xE014, SYST_CVR = 0xE018,
    SYST_CALIB = 0xE01C, NVIC_ISER = 0xE100, NVIC_ICER = 0xE180, NVIC_ISPR = 0xE200,
    NVIC_ICPR = 0xE280, NVIC_IABR = 0xE300, NVIC_IPR = 0xE400, NVIC_END = 0xE4F0,
    CPUID = 0xED00, ICSR = 0xED04, VTOR = 0xED08, AIRCR = 0xED0C, SCR = 0xED10, CCR = 0xED14,
    SHPR1 = 0xED18, SHPR3 = 0xED20, SHCSR = 0xED24, CFSR = 0xED28, HFSR = 0xED2C,
    DFSR = 0xED30, MMFAR = 0xED34, BFAR = 0xED38, AFSR = 0xED3C, ID_PFR0 = 0xED40,
    CLIDR = 0xED78, CTR = 0xED7C, CCSIDR = 0xED80, CSSELR = 0xED84, CPACR = 0xED88,
    MPU_TYPE = 0xED90, MPU_CTRL = 0xED94, MPU_RNR = 0xED98, MPU_RBAR = 0xED9C,
    MPU_RASR_A3 = 0xEDB8, DHCSR = 0xEDF0, DEMCR = 0xEDFC, STIR = 0xEF00, FPCCR = 0xEF34,
    FPCAR = 0xEF38, FPDSCR = 0xEF3C, MVFR0 = 0xEF40, MVFR1 = 0xEF44, MVFR2 = 0xEF48,
    ICIALLU = 0xEF50, CACHE_END = 0xEF7C, CACHE_CONTROL = 0xEF90, CACHE_CONTROL_END = 0xEFB0,
};

/* Exceptions whose priority SHPR1-3 hold start at 4; NVIC_IPR starts at 16. */
static uint32_t priorities(Core *c, int first)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value |= (uint32_t)c->nvic.priority[first + i] << 8 * i;
    return value;
}

static void set_priorities(Core *c, int first, uint32_t value, uint32_t lanes)
{
    for (int i = 0; i < 4; i++)
        if (lanes >> 8 * i & 0xFF)
            c->nvic.priority[first + i] = value >> 8 * i & 0xF0; /* 4 bits on the STM32H7 */
    c->deadline = 0;
}

/* Bank w of an NVIC bit array, shifted to interrupt numbers. */
static uint32_t irqs(const uint32_t *bits, int w)
{
    uint64_t both = bits[w] | (w + 1 < WORDS ? (uint64_t)bits[w + 1] << 32 : 0);
    return both >> EXTERNAL;
}

static void set_irqs(Core *c, uint32_t *bits, int w, uint32_t value, bool set)
{
    for (; value; value &= value - 1) {
        int n = w * 32 + __builtin_ctz(value) + EXTERNAL;
        if (n >= EXCEPTIONS)
            break;
        nvic_assign(bits, n, set);
        if (!set && bits == c->nvic.pending && nvic_bit(c->nvic.level, n))
            nvic_pend(c, n); /* the line still asks */
    }
    c->deadline = 0;
}

static const struct { int exception; int active, pending; } handlers[] = {
    {MEM_MANAGE, 0, 13}, {BUS_FAULT, 1, 14}, {USAGE_FAULT, 3, 12}, {SVCALL, 7, 15},
    {DEBUG_MONITOR, 8, -1}, {PENDSV, 10, -1}, {SYSTICK, 11, -1},
};

static uint32_t shcsr_read(Core *c)
{
    uint32_t value = c->shcsr & 0x70000;
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++) {
        value |= (uint32_t)nvic_bit(c->nvic.active, handlers[i].exception) << handlers[i].active;
        if (handlers[i].pending >= 0)
            value |= (uint32_t)nvic_bit(c->nvic.pending, handlers[i].exception)
                     << handlers[i].pending;
    }
    return value;
}

static uint32_t icsr_read(Core *c)
{
    uint32_t active = core_reg(c, UC_ARM_REG_XPSR) & 0x1FF;
    uint32_t value = active | (uint32_t)nvic_candidate(c, 256) << 12;
    bool external = false, one = false, more = false;
    for (int w = 0; w < WORDS; w++) {
        uint32_t bits = c->nvic.active[w];
        external |= (c->nvic.pending[w] & c->nvic.enabled[w] & (w ? ~0u : ~0xFFFFu)) != 0;
        more |= bits && (one || (bits & (bits - 1)));
        one |= bits != 0;
    }
    value |= (uint32_t)external << 22 | (uint32_t)!more << 11;
    value |= (uint32_t)nvic_bit(c->nvic.pending, SYSTICK) << 26;
    value |= (uint32_t)nvic_bit(c->nvic.pending, PENDSV) << 28;
    return value | (uint32_t)nvic_bit(c->nvic.pending, NMI) << 31;
}

static uint32_t scs_read(Core *c, uint32_t offset)
{
    /* ID_PFR0.. ID_ISAR4 and MVFR of the Cortex-M7 r1p1 with double precision */
    static const uint32_t id[] = {0x30, 0x200, 0x100000, 0, 0x100030, 0, 0x1000000, 0,
                                  0x1101110, 0x2112000, 0x20232231, 0x1111131, 0x1310132};
    if (offset >= NVIC_ISER && offset < NVIC_IPR) {
        const uint32_t *bits = offset < NVIC_ISPR ? c->nvic.enabled
                               : offset < NVIC_IABR ? c->nvic.pending : c->nvic.active;
        int w = (offset & 0x7F) / 4;
        return w < WORDS ? irqs(bits, w) : 0;
    }
    if (offset >= NVIC_IPR && offset < NVIC_END)
        return priorities(c, EXTERNAL + (int)(offset - NVIC_IPR));
    if (offset >= SHPR1 && offset <= SHPR3)
        return priorities(c, 4 + (int)(offset - SHPR1));
    if (offset >= ID_PFR0 && offset < ID_PFR0 + sizeof id)
        return id[(offset - ID_PFR0) / 4];
    if (offset >= MPU_RBAR && offset <= MPU_RASR_A3) {
        int region = offset < MPU_RBAR + 8 ? c->mpu_rnr & 15
                                           : (c->mpu_rnr & 12) | ((offset - MPU_RBAR) / 8 & 3);
        return (offset - MPU_RBAR) & 4 ? c->mpu[region].rasr
                                       : (c->mpu[region].rbar & ~31u) | region;
    }
    if (offset < ITM_END)
        return 1; /* ITM stimulus ports: FIFO ready */
    switch (offset) {
    case DWT_CTRL: return 0x40000000u | c->dwt_ctrl;
    case DWT_CYCCNT: return c->dwt_ctrl & 1 ? (uint32_t)(c->now - c->dwt_base) : (uint32_t)c->dwt_base;
    case ICTR: return WORDS - 2;
    case SYST_CSR: return systick_status(c);
    case SYST_CVR: return systick_value(c);
    case SYST_RVR: return c->systick.load;
    case CPUID: return 0x411FC271u;
    case ICSR: return icsr_read(c);
    case VTOR: return c->vtor;
    case AIRCR: return 0xFA050000u | c->aircr;
    case SCR: return c->scr;
    case CCR: return c->ccr;
    case SHCSR: return shcsr_read(c);
    case CFSR: return c->cfsr;
    case HFSR: return c->hfsr;
    case DFSR: return c->dfsr;
    case MMFAR: return c->mmfar;
    case BFAR: return c->bfar;
    case CLIDR: return 0x09000003u;
    case CTR: return 0x8303C003u;
    case CCSIDR: return c->csselr & 1 ? 0xF01FE009u : 0xF00FE019u; /* 16 KiB each */
    case CSSELR: return c->csselr;
    case CPACR: return c->cpacr;
    case MPU_TYPE: return MPU_REGIONS << 8;
    case MPU_CTRL: return c->mpu_ctrl;
    case MPU_RNR: return c->mpu_rnr;
    case DEMCR: return c->demcr;
    case FPCCR: return c->fpccr;
    case FPCAR: return c->fpcar;
    case FPDSCR: return c->fpdscr;
    case MVFR0: return 0x10110221u;
    case MVFR1: return 0x12000011u;
    case MVFR2: return 0x40u;
    case ACTLR: case SYST_CALIB: case AFSR: case DHCSR: return 0;
    }
    if (!(offset >= ICIALLU && offset < CACHE_CONTROL_END))
        bus_unmodelled(c, PPB_BASE + offset, 4, false, 0);
    return 0;
}

static void aircr_write(Core *c, uint32_t value)
{
    if (value >> 16 != 0x05FA)
        return;
    c->aircr = value & 0x700;
    if (value & 4) {
        c->reset_request = c->stop = true;
        c->deadline = 0;
    }
}

static void icsr_write(Core *c, uint32_t value)
{
    if (value >> 31)
        nvic_pend(c, NMI);
    if (value & 1u << 28)
        nvic_pend(c, PENDSV);
    else if (value & 1u << 27)
        nvic_unpend(c, PENDSV);
    if (value & 1u << 26)
        nvic_pend(c, SYSTICK);
    else if (value & 1u << 25)
        nvic_unpend(c, SYSTICK);
}

static void shcsr_write(Core *c, uint32_t value)
{
    c->shcsr = value & 0x70000;
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++) {
        nvic_assign(c->nvic.active, handlers[i].exception, value >> handlers[i].active & 1);
        if (handlers[i].pending >= 0)
            nvic_assign(c->nvic.pending, handlers[i].exception, value >> handlers[i].pending & 1);
    }
    c->deadline = 0;
}

static void mpu_write(Core *c, uint32_t offset, uint32_t value)
{
    int alias = (offset - MPU_RBAR) / 8;
    if ((offset - MPU_RBAR) & 4) {
        c->mpu[alias ? (int)((c->mpu_rnr & 12) | alias) : (int)(c->mpu_rnr & 15)].rasr = value;
    } else {
        if (value & 16) /* VALID: the REGION field selects */
            c->mpu_rnr = value & 15;
        c->mpu[alias && !(value & 16) ? (int)((c->mpu_rnr & 12) | alias) : (int)(c->mpu_rnr & 15)]
            .rbar = value & ~31u;
    }
}

static void scs_write(Core *c, uint32_t offset, uint32_t value, uint32_t lanes)
{
    if (offset >= NVIC_ISER && offset < NVIC_IABR) {
        uint32_t *bits = offset < NVIC_ISPR ? c->nvic.enabled : c->nvic.pending;
        int w = (offset & 0x7F) / 4;
        if (w < WORDS)
            set_irqs(c, bits, w, value, !(offset & 0x80));
        return;
    }
    if (offset >= NVIC_IPR && offset < NVIC_END) {
        set_priorities(c, EXTERNAL + (int)(offset - NVIC_IPR), value, lanes);
        return;
    }
    if (offset >= SHPR1 && offset <= SHPR3) {
        set_priorities(c, 4 + (int)(offset - SHPR1), value, lanes);
        return;
    }
    if (offset >= MPU_RBAR && offset <= MPU_RASR_A3) {
        mpu_write(c, offset, value);
        c->mpu_changed = true;
        c->deadline = 0;
        return;
    }
    if (offset < ITM_END || (offset >= ICIALLU && offset < CACHE_CONTROL_END))
        return; /* trace is dropped; there are no caches to maintain */
    switch (offset) {
    case DWT_CTRL:
        if ((value ^ c->dwt_ctrl) & 1) /* dwt_base holds the count while stopped */
            c->dwt_base = value & 1 ? c->now - (uint32_t)c->dwt_base
                                    : (uint32_t)(c->now - c->dwt_base);
        c->dwt_ctrl = value & 1;
        break;
    case DWT_CYCCNT: c->dwt_base = c->dwt_ctrl & 1 ? c->now - value : value; break;
    case SYST_CSR: systick_control(c, value); break;
    case SYST_RVR: systick_reload(c, value); break;
    case SYST_CVR: systick_clear(c); break;
    case ICSR: icsr_write(c, value); break;
    case VTOR: c->vtor = value & ~0x7Fu; break;
    case AIRCR: aircr_write(c, value); break;
    case SCR: c->scr = value & 0x16; break;
    case CCR: c->ccr = (value & 0x7011B) | 0x200; break;
    case SHCSR: shcsr_write(c, value); break;
    case CFSR: c->cfsr &= ~value; break;
    case HFSR: c->hfsr &= ~value; break;
    case DFSR: c->dfsr &= ~value; break;
    case MMFAR: c->mmfar = value; break;
    case BFAR: c->bfar = value; break;
    case CSSELR: c->csselr = value & 15; break;
    case CPACR: core_set_cpacr(c, value & 0xF00000); break;
    case MPU_CTRL:
        c->mpu_ctrl = value & 7;
        c->mpu_changed = true;
        c->deadline = 0;
        break;
    case MPU_RNR: c->mpu_rnr = value & 15; break;
    case DEMCR: c->demcr = value & 0x010F07F1; break;
    case STIR:
        if ((value & 0x1FF) + EXTERNAL < EXCEPTIONS)
            nvic_pend(c, EXTERNAL + (int)(value & 0x1FF));
        break;
    case FPCCR: c->fpccr = value & 0xC0000000u; break;
    case FPCAR: c->fpcar = value & ~7u; break;
    case FPDSCR: c->fpdscr = value & 0x07C00000; break;
    case ACTLR: case SYST_CALIB: case AFSR: case DHCSR: break;
    default: bus_unmodelled(c, PPB_BASE + offset, 4, true, value);
    }
}

static uint64_t ppb_read(uc_engine *uc, uint64_t offset, unsigned size, void *user)
{
    (void)uc;
    leap_touch(user);
    uint32_t value = scs_read(user, (uint32_t)offset & ~3u) >> 8 * (offset & 3);
    return size == 4 ? value : value & ((1u << 8 * size) - 1);
}

static void ppb_write(uc_engine *uc, uint64_t offset, unsigned size, uint64_t data, void *user)
{
    (void)uc;
    leap_touch(user);
    uint32_t shift = 8 * (offset & 3), lanes = size == 4 ? ~0u : ((1u << 8 * size) - 1) << shift;
    scs_write(user, (uint32_t)offset & ~3u, (uint32_t)data << shift, lanes);
}

/* The private peripheral bus (DDI 0403 B3.1). */
uc_err scs_open(Core *c)
{
    return uc_mmio_map(c->uc, PPB_BASE, PPB_SIZE, ppb_read, c, ppb_write, c);
}
