/* The run loop. */
#include "core.h"
#include <sys/mman.h>

uint32_t core_reg(Core *c, int id)
{
    uint32_t value = 0;
    uc_reg_read(c->uc, id, &value);
    return value;
}

void core_set_reg(Core *c, int id, uint32_t value) { uc_reg_write(c->uc, id, &value); }

/* A Python exception in a callback ends the run; run() hands it on. */
void core_python_failed(Core *c)
{
    c->stop = true;
    c->deadline = 0;
}

static uint8_t it_advance(uint8_t it) { return it & 7 ? (it & 0xE0) | (it << 1 & 0x1F) : 0; } /* A7.3.3 */

/* Facts of the code: instructions are counted, and ITSTATE followed, from a block's start. The
 * first halfword tells the length (DDI 0403 A5.1). */

static Block read_block(const uint8_t *code, uint32_t bytes, uint8_t it)
{
    Block block = {(uint16_t)bytes, 0, it, it, NO_FPU};
    for (uint32_t offset = 0; offset < bytes; block.instructions++) {
        uint16_t first, second = 0;
        memcpy(&first, code + offset, 2);
        if ((first & 0xEC00) == 0xEC00 && offset + 4 <= bytes)
            memcpy(&second, code + offset + 2, 2); /* a coprocessor's: 10 and 11 are the FPU */
        if ((second >> 9 & 7) == 5 && block.fpu == NO_FPU)
            block.fpu = (uint16_t)offset;
        offset += first >> 11 >= 0x1D ? 4 : 2;
        it = first >> 8 == 0xBF && first & 15 ? (uint8_t)first : it_advance(it);
    }
    block.it_end = it;
    return block;
}

/* Pages of their own: little of megabytes is ever used, and malloc may clear what it gives again. */
static size_t facts_size(size_t code) { return code / 2 * (sizeof(Block) + sizeof(uint32_t)); }

bool core_open_facts(Region *r)
{
    void *made = mmap(NULL, facts_size(r->size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (made == MAP_FAILED)
        return false;
    r->coded = r->size;
    r->blocks = made;
    r->plain = (uint32_t *)(r->blocks + r->coded / 2);
    return true;
}

void core_close_facts(Region *r)
{
    if (r->coded)
        munmap(r->blocks, facts_size(r->coded));
}

/* Code in this range changed from outside: drop translations and facts. */
void core_forget(Core *c, uint32_t address, uint32_t size)
{
    Region *r = bus_region(c, address, size);
    c->loose = *c->facts; /* the block that runs stays what it is */
    c->facts = &c->loose;
    if (r && r->coded) {
        memset(r->blocks + (address - r->base) / 2, 0, size / 2 * sizeof *r->blocks);
        memset(r->plain + (address - r->base) / 2, 0, size / 2 * sizeof *r->plain);
    }
    uc_ctl_remove_cache(c->uc, address, address + size);
}

/* Has the run computed for as long as the host allows, and got on? */
static bool host_is_late(const Core *c)
{
    struct timespec t;
    if (!c->host_end || c->now == c->began)
        return false;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec >= c->host_end;
}

/* The core clock at which the run must leave the engine. */
static uint64_t next_stop(Core *c)
{
    uint64_t next = c->limit < c->event ? c->limit : c->event, tick = systick_due(c);
    next = tick < next ? tick : next;
    return c->slice < next ? c->slice : next;
}

/* True if the run must leave the engine before the next block. */
static bool must_stop(Core *c, uint32_t address)
{
    bus_settle_flash(c);
    if (c->stop || c->mpu_changed || PyErr_Occurred() || host_is_late(c))
        return true;
    uint64_t next = next_stop(c);
    if (c->now >= next)
        return true;
    if (leap_wants(c, address, next))
        return c->leaping = true;
    if (nvic_any_pending(c)) {
        if (nvic_candidate(c, nvic_execution_priority(c, true)))
            return true;
        next = 0; /* masked: PRIMASK or BASEPRI may change with any block */
    }
    if (c->leap.proving)
        next = 0;
    c->deadline = c->now + GLANCE < next ? c->now + GLANCE : next;
    return false;
}

/* ITSTATE in XPSR: [1:0] are bits 26 and 25, [7:2] bits 15 to 10 (B1.4.2). */
#define IT_BITS 0x0600FC00u

static uint32_t it_bits(uint8_t it) { return (it & 3u) << 25 | (it & 0xFCu) << 8; }

/* ITSTATE at an address in or right behind the block that runs. Any other is a branch's target,
 * and no IT block is entered by a branch (A7.7.38). */
static uint8_t it_at(Core *c, uint32_t address)
{
    if (address == c->block + c->block_size)
        return c->facts->it_end;
    Region *r = bus_region(c, c->block, c->block_size);
    if (!r || address - c->block > c->block_size)
        return 0;
    return read_block(r->data + (c->block - r->base), address - c->block, c->facts->it_start).it_end;
}

/* When an access misses the TLB or meets a hook and goes on, Unicorn leaves the IT bits of its
 * instruction behind, and what follows would run under them: no flags set, stores skipped. */
static bool it_is_wrong(Core *c, uint8_t it)
{
    c->it_doubtful = false;
    return (core_reg(c, UC_ARM_REG_XPSR) & IT_BITS) != it_bits(it);
}

/* ConditionPassed() of an instruction in an IT block (DDI 0403 A7.3.1). */
static bool passes(Core *c, uint8_t it)
{
    uint32_t apsr = core_reg(c, UC_ARM_REG_XPSR);
    bool n = apsr >> 31 & 1, z = apsr >> 30 & 1, carry = apsr >> 29 & 1, v = apsr >> 28 & 1;
    const bool met[] = {z, carry, n, v, carry && !z, n == v, !z && n == v, true};
    return met[it >> 5 & 7] != (it >> 4 & 1) || it >> 5 == 7;
}

void core_set_cpacr(Core *c, uint32_t cpacr)
{
    c->cpacr = cpacr;
    c->plain_mask = (cpacr >> 20 & 3) == 3 ? ~(uint32_t)USES_FPU : ~0u;
}

/* With the FPU off in CPACR, end the run before its first instruction there, which faults
 * (B1.5.14) if it is executed. True if the run has to leave the engine. */
static bool fpu_is_off(Core *c, uint32_t address, uint32_t size)
{
    uint32_t access = c->cpacr >> 20 & 3; /* of coprocessor 10; 1: privileged code alone */
    if (access == 3 || (access == 1 && ((core_reg(c, UC_ARM_REG_IPSR) & 0x1FF) ||
                                        !(core_reg(c, UC_ARM_REG_CONTROL) & 1))))
        return false;
    if (c->facts->fpu == 0 && c->facts->it_start & 15 && !passes(c, c->facts->it_start))
        c->skipped = true;
    else if (c->facts->fpu == 0)
        c->intno = 17; /* EXCP_NOCP */
    else {
        c->until = address + c->facts->fpu;
        uc_ctl_remove_cache(c->uc, address, address + size);
    }
    return true;
}

/* A block that is not as it was the last time, or before which something may be due. */
static __attribute__((noinline)) void on_rare_block(Core *c, uint32_t address, uint32_t size)
{
    uint8_t it = address == c->block + c->block_size ? c->facts->it_end : 0;
    Block *last = c->facts, kept = *last;
    if (c->it_doubtful && it_is_wrong(c, it_at(c, address))) {
        c->it_stale = true; /* mended outside: leaving the engine brings the bits back */
        c->stopping = true;
        uc_emu_stop(c->uc);
        return;
    }
    if (c->now >= c->deadline && must_stop(c, address)) {
        c->stopping = true;
        uc_emu_stop(c->uc);
        return;
    }
    for (int i = 0; i < c->region_count; i++) {
        Region *r = &c->regions[i];
        uint32_t offset = address - r->base;
        if (offset >= r->size)
            continue;
        if (r->coded) {
            Block *facts = c->facts = &r->blocks[offset / 2];
            if (facts->bytes != size || facts->it_start != it) {
                *facts = read_block(r->data + offset, size, it);
                r->plain[offset / 2] = it || facts->it_end ? 0 : size << 16 | facts->instructions |
                                       (facts->fpu == NO_FPU ? 0 : USES_FPU);
            }
        } else { /* RAM: the code may have changed, and the block may begin anew in its midst */
            c->loose = read_block(r->data + offset, size, it_at(c, address));
            c->facts = &c->loose;
        }
        if (c->facts->fpu != NO_FPU && fpu_is_off(c, address, size)) {
            c->facts = last; /* this one has not begun */
            *last = kept;
            c->stopping = true;
            uc_emu_stop(c->uc);
            return;
        }
        c->now += c->facts->instructions;
        break;
    }
    if (c->facts->it_start | c->facts->it_end)
        c->deadline = 0; /* so that `facts` tells of IT for plain blocks, too, that there is none */
    c->block = address;
    c->block_size = size;
}

/* Where most of the host's time was spent: what is known of a block of the first memory takes one
 * load, no call and no loop, and two branches never taken. */
static void on_block(uc_engine *uc, uint64_t wide, uint32_t size, void *user)
{
    (void)uc;
    Core *c = user;
    uint32_t address = (uint32_t)wide, offset = address - c->plain_base;
    if (offset < c->plain_size && c->now < c->deadline) {
        uint32_t instructions = (c->plain[offset / 2] & c->plain_mask) - (size << 16);
        if (instructions < USES_FPU) {
            c->now += instructions;
            c->block = address;
            c->block_size = size;
            return;
        }
    }
    on_rare_block(c, address, size);
}

static void on_interrupt(uc_engine *uc, uint32_t intno, void *user)
{
    Core *c = user;
    c->intno = (int)intno;
    c->stopping = true;
    uc_emu_stop(uc);
}

static void refused(Core *c)
{
    uint32_t address = c->access.address;
    uc_mem_type type = c->access.type;
    c->access.type = 0;
    Region *r = bus_region(c, address, 1);
    if (type == UC_MEM_FETCH_PROT && r && !mpu_denies(c, address, false)) {
        uint32_t page = (address - r->base) / PAGE; /* RAM functions: executable by the page */
        r->perms[page] |= UC_PROT_EXEC;
        uc_mem_protect(c->uc, r->base + page * PAGE, PAGE, r->perms[page]);
        core_set_reg(c, UC_ARM_REG_PC, core_reg(c, UC_ARM_REG_PC) | 1);
        return;
    }
    for (int i = 0; i < 13; i++)
        core_set_reg(c, UC_ARM_REG_R0 + i, c->access.r[i]);
    core_set_reg(c, UC_ARM_REG_SP, c->access.r[13]);
    core_set_reg(c, UC_ARM_REG_LR, c->access.r[14]);
    core_set_reg(c, UC_ARM_REG_XPSR_NZCVQG, c->access.xpsr);
    core_set_reg(c, UC_ARM_REG_PC, c->access.r[15] | 1);
    if (type == UC_MEM_FETCH_PROT)
        exception_fault(c, MEM_MANAGE, IACCVIOL, address);
    else if (type == UC_MEM_FETCH_UNMAPPED)
        exception_fault(c, address - PERIPHERALS_BASE < PERIPHERALS_SIZE ? MEM_MANAGE : BUS_FAULT,
                        address - PERIPHERALS_BASE < PERIPHERALS_SIZE ? IACCVIOL : IBUSERR, address);
    else if (type == UC_MEM_READ_PROT || (type == UC_MEM_WRITE_PROT && mpu_denies(c, address, true)))
        exception_fault(c, MEM_MANAGE, DACCVIOL, address);
    else
        exception_fault(c, BUS_FAULT, PRECISERR, address);
}

static uint16_t halfword(Core *c, uint32_t address)
{
    Region *r = bus_region(c, address, 2);
    uint16_t value = 0;
    if (r)
        memcpy(&value, r->data + (address - r->base), 2);
    return value;
}

enum { WFE = 0xBF20, WFI = 0xBF30, YIELD = 0xBF10 };

void core_sleep(Core *c)
{
    c->sleeping = true;
    c->deep_asked = c->scr >> 2 & 1; /* SLEEPDEEP: whoever has the core says how deep */
}

/* Its clock has begun to stand still, or goes on; SysTick and CYCCNT count nothing meanwhile. */
static void deep_changed(Core *c)
{
    if (!c->deep) {
        c->systick.base += c->now - c->deep_since;
        if (c->dwt_ctrl & 1)
            c->dwt_base += c->now - c->deep_since;
    }
    c->deep_since = c->deep ? c->now : 0;
}

static void after_run(Core *c, uc_err err, uint32_t pc)
{
    if (c->intno >= 0) {
        int intno = c->intno; /* numbers of QEMU's EXCP_*, see target/arm/cpu.h there */
        c->intno = -1;
        core_set_reg(c, UC_ARM_REG_PC, pc | 1);
        switch (intno) {
        case 2:
            nvic_pend(c, SVCALL);
            if (nvic_candidate(c, nvic_execution_priority(c, true)) == SVCALL)
                exception_enter(c, SVCALL);
            else
                exception_fault(c, HARD_FAULT, HFSR_FORCED, 0);
            break;
        case 7: exception_fault(c, HARD_FAULT, HFSR_DEBUGEVT, 0); break;
        case 8: exception_return(c, pc | 1); break;
        case 3: exception_fault(c, MEM_MANAGE, IACCVIOL, pc); break;
        case 17: exception_fault(c, USAGE_FAULT, NOCP, 0); break;
        case 18: exception_fault(c, USAGE_FAULT, INVSTATE, 0); break;
        default: exception_fault(c, USAGE_FAULT, UNDEFINSTR, 0);
        }
        return;
    }
    if (c->skipped) { /* four bytes and a clock, and nothing else */
        c->skipped = false;
        c->now++;
        core_set_reg(c, UC_ARM_REG_XPSR_NZCVQG, (core_reg(c, UC_ARM_REG_XPSR) & ~IT_BITS) |
                     it_bits(it_advance(it_at(c, pc))));
        core_set_reg(c, UC_ARM_REG_PC, (pc + 4) | 1);
        return;
    }
    if (err == UC_ERR_FETCH_PROT && !c->access.type)
        bus_note_access(c, UC_MEM_FETCH_PROT, pc);
    if (c->access.type) {
        refused(c);
        return;
    }
    core_set_reg(c, UC_ARM_REG_PC, pc | 1);
    if (err == UC_ERR_OK) {
        if (!c->stopping && halfword(c, pc - 2) == WFI)
            core_sleep(c);
    } else if (err == UC_ERR_INSN_INVALID && halfword(c, pc - 2) == WFE) {
        if (!c->event_register)
            core_sleep(c);
        c->event_register = false;
    } else if (err == UC_ERR_INSN_INVALID && halfword(c, pc - 2) == YIELD) {
        return;
    } else {
        exception_fault(c, USAGE_FAULT, err == UC_ERR_EXCEPTION ? INVSTATE : UNDEFINSTR, 0);
    }
}

/* WFI and WFE end on an interrupt that would preempt if PRIMASK were clear (B1.5.19). */
static void sleep_on(Core *c)
{
    if (!c->deep && nvic_any_pending(c) && nvic_candidate(c, nvic_execution_priority(c, false))) {
        c->sleeping = c->deep_asked = false;
        return;
    }
    if (c->deep_asked)
        return;
    uint64_t next = c->limit < c->event ? c->limit : c->event;
    uint64_t tick = c->deep ? NEVER : systick_due(c);
    next = tick < next ? tick : next;
    if (next > c->now) {
        c->idle += next - c->now;
        c->now = next;
    }
}

/* The core clock at which it next does something by itself: now, unless it sleeps. */
uint64_t core_wake(Core *c)
{
    if (!c->sleeping || c->reset_request || c->lockup || c->fault_stop || c->stop ||
        (!c->deep && nvic_candidate(c, nvic_execution_priority(c, false))))
        return c->now;
    uint64_t tick = c->deep ? NEVER : systick_due(c), next = tick < c->event ? tick : c->event;
    return next < c->now ? c->now : next;
}

/* Run until something has to be told; NULL with a Python exception set. */
const char *core_run(Core *c)
{
    c->began = c->now;
    c->plain = c->regions[0].plain;
    c->plain_base = c->regions[0].base;
    c->plain_size = c->regions[0].coded;
    core_set_cpacr(c, c->cpacr); /* as a reset or a snapshot left it */
    leap_touch(c);
    for (;;) {
        if (c->mpu_changed)
            mpu_apply(c);
        if (c->deep != (c->deep_since != 0))
            deep_changed(c);
        if (c->reset_request)
            return "reset";
        if (c->lockup)
            return "lockup";
        if (c->fault_stop) {
            c->fault_stop = false;
            return "fault";
        }
        if (c->stop) {
            c->stop = false;
            return "stop";
        }
        if (c->now >= c->event) {
            if (!events_run(c))
                return NULL;
            continue;
        }
        if (c->now >= c->limit)
            return "limit";
        if (host_is_late(c))
            return "host";
        if (c->now >= c->slice) {
            if (PyErr_CheckSignals())
                return NULL;
            c->slice = c->now + SLICE;
        }
        if (!c->deep)
            systick_update(c);
        if (c->sleeping) {
            sleep_on(c);
            if (c->deep_asked) {
                c->deep_asked = false;
                return "deep";
            }
            if (c->sleeping)
                continue;
        }
        int exception = nvic_any_pending(c) ? nvic_candidate(c, nvic_execution_priority(c, true)) : 0;
        if (exception) {
            exception_enter(c, exception);
            continue;
        }
        c->deadline = 0;
        c->stopping = c->it_doubtful = c->leaping = false;
        c->intno = -1;
        uint32_t xpsr = core_reg(c, UC_ARM_REG_XPSR);
        c->block = core_reg(c, UC_ARM_REG_PC);
        c->block_size = 0;
        uint8_t it = (uint8_t)((xpsr >> 25 & 3) | (xpsr >> 8 & 0xFC)); /* as an exception left it */
        c->loose = (Block){0, 0, it, it, NO_FPU};
        c->facts = &c->loose;
        uint32_t until = c->until ? c->until : 0xEFFFFFFE;
        c->until = 0;
        uc_err err = uc_emu_start(c->uc, c->block | 1, until, 0, 0);
        bus_settle_flash(c);
        uint32_t pc = core_reg(c, UC_ARM_REG_PC);
        it = it_at(c, pc);
        if (c->it_stale || (c->it_doubtful && !c->access.type && it_is_wrong(c, it))) {
            core_set_reg(c, UC_ARM_REG_XPSR_NZCVQG,
                         (core_reg(c, UC_ARM_REG_XPSR) & ~IT_BITS) | it_bits(it));
            /* the block before is linked to one under other IT bits by now: unlink it */
            uc_ctl_remove_cache(c->uc, pc, pc + 2);
        }
        c->it_stale = false;
        if (PyErr_Occurred())
            return NULL;
        after_run(c, err, pc);
        if (c->leaping)
            leap(c, pc, next_stop(c));
        else
            leap_touch(c);
    }
}

/* Make the Cortex-M7 with its buses and hooks. */
uc_err core_open(Core *c)
{
    uc_err err = uc_open(UC_ARCH_ARM, UC_MODE_THUMB, &c->uc);
    if (!err)
        err = uc_ctl_set_cpu_model(c->uc, UC_CPU_ARM_CORTEX_M7);
    if (!err)
        err = uc_ctl_set_page_size(c->uc, PAGE); /* a quarter of the entries of its TLB */
    if (!err)
        err = bus_open(c);
    if (!err)
        err = scs_open(c);
    uc_hook hook;
    if (!err)
        err = uc_hook_add(c->uc, &hook, UC_HOOK_BLOCK, on_block, c, 1, 0);
    if (!err)
        err = uc_hook_add(c->uc, &hook, UC_HOOK_INTR, on_interrupt, c, 1, 0);
    return err;
}
