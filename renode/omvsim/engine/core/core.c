/* The run loop and the buses. */
#include "core.h"

uint32_t core_reg(Core *c, int id)
{
    uint32_t value = 0;
    uc_reg_read(c->uc, id, &value);
    return value;
}

void core_set_reg(Core *c, int id, uint32_t value) { uc_reg_write(c->uc, id, &value); }

Region *core_region(Core *c, uint32_t address, uint32_t size)
{
    for (int i = 0; i < c->region_count; i++) {
        Region *r = &c->regions[i];
        if (address - r->base < r->size && r->size - (address - r->base) >= size)
            return r;
    }
    return NULL;
}

/* A Python exception in a callback ends the run; run() hands it on. */
static void python_failed(Core *c)
{
    c->stop = true;
    c->deadline = 0;
}

void core_unmodelled(Core *c, uint32_t address, int size, bool write, uint32_t value)
{
    PyObject *result = PyObject_CallFunction(c->on_unmodelled, "kiOkk", (unsigned long)address, size,
                                             write ? Py_True : Py_False, (unsigned long)value,
                                             (unsigned long)c->block);
    if (!result)
        python_failed(c);
    Py_XDECREF(result);
}

/* Facts of the code: instructions are counted, and ITSTATE followed, from a block's start. The
 * first halfword tells the length (DDI 0403 A5.1). ITSTATE moves on as ITAdvance() does (A7.3.3). */

static Block read_block(const uint8_t *code, uint32_t bytes, uint8_t it)
{
    Block block = {(uint16_t)bytes, 0, it, it, {0}};
    for (uint32_t offset = 0; offset < bytes; block.instructions++) {
        uint16_t first;
        memcpy(&first, code + offset, 2);
        offset += first >> 11 >= 0x1D ? 4 : 2;
        if (first >> 8 == 0xBF && first & 15)
            it = (uint8_t)first;
        else
            it = it & 7 ? (it & 0xE0) | (it << 1 & 0x1F) : 0;
    }
    block.it_end = it;
    return block;
}

static void settle_flash(Core *c);

/* Has the run computed for as long as the host allows, and got on? */
static bool host_is_late(const Core *c)
{
    struct timespec t;
    if (!c->host_end || c->now == c->began)
        return false;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec >= c->host_end;
}

/* True if the run must leave the engine before the next block. */
static bool must_stop(Core *c)
{
    settle_flash(c);
    if (c->stop || c->mpu_changed || PyErr_Occurred() || host_is_late(c))
        return true;
    uint64_t next = c->limit < c->event ? c->limit : c->event;
    uint64_t tick = systick_due(c);
    next = tick < next ? tick : next;
    next = c->slice < next ? c->slice : next;
    if (c->now >= next)
        return true;
    if (nvic_any_pending(c)) {
        if (nvic_candidate(c, nvic_execution_priority(c, true)))
            return true;
        next = 0; /* masked: PRIMASK or BASEPRI may change with any block */
    }
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
    if (address == c->block_end)
        return c->facts->it_end;
    Region *r = core_region(c, c->block, c->block_end - c->block);
    if (!r || address - c->block > c->block_end - c->block)
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

static void on_block(uc_engine *uc, uint64_t address, uint32_t size, void *user)
{
    Core *c = user;
    uint8_t it = (uint32_t)address == c->block_end ? c->facts->it_end : 0;
    if (c->it_doubtful && it_is_wrong(c, it_at(c, (uint32_t)address))) {
        c->it_stale = true; /* mended outside: leaving the engine brings the bits back */
        c->stopping = true;
        uc_emu_stop(uc);
        return;
    }
    if (c->now >= c->deadline && must_stop(c)) {
        c->stopping = true;
        uc_emu_stop(uc);
        return;
    }
    for (int i = 0; i < c->region_count; i++) {
        Region *r = &c->regions[i];
        uint32_t offset = (uint32_t)address - r->base;
        if (offset >= r->size)
            continue;
        if (r->blocks) {
            c->facts = &r->blocks[offset / 2];
            if (c->facts->bytes != size || c->facts->it_start != it)
                *c->facts = read_block(r->data + offset, size, it);
        } else { /* RAM: the code may have changed, and the block may begin anew in its midst */
            c->loose = read_block(r->data + offset, size, it_at(c, (uint32_t)address));
            c->facts = &c->loose;
        }
        c->now += c->facts->instructions;
        break;
    }
    c->block = (uint32_t)address;
    c->block_end = (uint32_t)address + size;
}

/* Peripheral space */

static Device *device_at(Core *c, uint32_t offset)
{
    uint16_t index = c->device_map[offset >> BLOCK_SHIFT];
    if (!index)
        return NULL;
    Device *d = &c->devices[index - 1];
    return PERIPHERALS_BASE + offset - d->base < d->size ? d : NULL;
}

/* A new reference to what the hook returns; NULL after an error, which is told. */
static PyObject *call_hook(Core *c, PyObject *hook, const uint32_t *values, size_t n)
{
    PyObject *arguments[3] = {NULL}, *result = NULL;
    size_t made = 0;
    while (made < n && (arguments[made] = PyLong_FromUnsignedLong(values[made])))
        made++;
    if (made == n)
        result = PyObject_Vectorcall(hook, arguments, n, NULL);
    while (made)
        Py_DECREF(arguments[--made]);
    if (!result)
        python_failed(c);
    return result;
}

static uint64_t peripheral_read(uc_engine *uc, uint64_t offset, unsigned size, void *user)
{
    (void)uc;
    Core *c = user;
    uint32_t address = PERIPHERALS_BASE + (uint32_t)offset, value = 0;
    Device *d = device_at(c, (uint32_t)offset);
    uint32_t i = d ? (address - d->base) / 4 : 0;
    if (!d || !(d->flags[i] & MODELLED)) {
        core_unmodelled(c, address, (int)size, false, 0);
        return 0;
    }
    if (d->flags[i] & READ_HOOK) {
        uint32_t at = i * 4;
        PyObject *result = call_hook(c, d->bus_read, &at, 1);
        if (result)
            value = (uint32_t)PyLong_AsUnsignedLongMask(result);
        if (result && PyErr_Occurred())
            python_failed(c);
        Py_XDECREF(result);
    } else {
        value = d->mem[i];
    }
    return value >> 8 * (address & 3) & (size == 4 ? ~0u : (1u << 8 * size) - 1);
}

static void peripheral_write(uc_engine *uc, uint64_t offset, unsigned size, uint64_t data, void *user)
{
    (void)uc;
    Core *c = user;
    uint32_t address = PERIPHERALS_BASE + (uint32_t)offset, value = (uint32_t)data;
    Device *d = device_at(c, (uint32_t)offset);
    uint32_t i = d ? (address - d->base) / 4 : 0;
    if (!d || !(d->flags[i] & MODELLED)) {
        core_unmodelled(c, address, (int)size, true, value);
        return;
    }
    if (size < 4) {
        uint32_t shift = 8 * (address & 3), lanes = ((1u << 8 * size) - 1) << shift;
        value = (d->mem[i] & ~lanes & ~d->w1c[i]) | (value << shift & lanes);
    }
    d->mem[i] = ((d->mem[i] & ~d->wmask[i]) | (value & d->wmask[i])) & ~(value & d->w1c[i]);
    if (d->flags[i] >= QUEUED) {
        d->flags[i] -= QUEUED;
        PyObject *queued = PyLong_FromUnsignedLong(value);
        if (!queued || PyList_Append(d->queue, queued) < 0)
            python_failed(c);
        Py_XDECREF(queued);
    } else if (d->flags[i] & WRITE_HOOK) {
        const uint32_t values[] = {i * 4, value, size};
        Py_XDECREF(call_hook(c, d->bus_write, values, 3));
    }
}

static uint64_t ppb_read(uc_engine *uc, uint64_t offset, unsigned size, void *user)
{
    (void)uc;
    uint32_t value = scs_read(user, (uint32_t)offset & ~3u) >> 8 * (offset & 3);
    return size == 4 ? value : value & ((1u << 8 * size) - 1);
}

static void ppb_write(uc_engine *uc, uint64_t offset, unsigned size, uint64_t data, void *user)
{
    (void)uc;
    uint32_t shift = 8 * (offset & 3), lanes = size == 4 ? ~0u : ((1u << 8 * size) - 1) << shift;
    scs_write(user, (uint32_t)offset & ~3u, (uint32_t)data << shift, lanes);
}

/* Memory that refuses */

/* Unicorn lets a store either fault or land. So the controller sees it first, and what it
 * left in the cells comes back after the store landed, at the latest with the next block. */
static void settle_flash(Core *c)
{
    if (c->cells.size)
        memcpy(c->cells.at, c->cells.truth, c->cells.size);
    c->cells.size = 0;
}

static bool on_flash_store(Core *c, uint32_t address, int size, uint32_t value)
{
    Region *r = core_region(c, address, (uint32_t)size);
    if (!r || !r->flash || mpu_denies(c, address, true))
        return false;
    settle_flash(c);
    PyObject *result = PyObject_CallFunction(c->on_flash_write, "kik", (unsigned long)address, size,
                                             (unsigned long)value);
    if (!result)
        python_failed(c);
    Py_XDECREF(result);
    c->cells.at = r->data + (address - r->base);
    c->cells.size = (size_t)size;
    memcpy(c->cells.truth, c->cells.at, c->cells.size);
    c->deadline = 0;
    c->it_doubtful = true;
    return true;
}

/* Registers now: after a store the rest of the block may still run. */
static void note_access(Core *c, uc_mem_type type, uint32_t address)
{
    c->access.type = type;
    c->access.address = address;
    for (int i = 0; i < 13; i++)
        c->access.r[i] = core_reg(c, UC_ARM_REG_R0 + i);
    c->access.r[13] = core_reg(c, UC_ARM_REG_SP);
    c->access.r[14] = core_reg(c, UC_ARM_REG_LR);
    c->access.r[15] = core_reg(c, UC_ARM_REG_PC);
    c->access.xpsr = core_reg(c, UC_ARM_REG_XPSR);
}

static bool on_refused(uc_engine *uc, uc_mem_type type, uint64_t address, int size, int64_t value,
                       void *user)
{
    Core *c = user;
    if (type == UC_MEM_WRITE_PROT && on_flash_store(c, (uint32_t)address, size, (uint32_t)value))
        return true;
    note_access(c, type, (uint32_t)address);
    (void)uc;
    return false;
}

static void watch(Core *c, uint64_t first, uint64_t last)
{
    uc_hook *hooks = PyMem_Resize(c->hooks, uc_hook, (size_t)c->hook_count + 1);
    if (!hooks)
        Py_FatalError("out of memory");
    c->hooks = hooks;
    uc_hook_add(c->uc, &hooks[c->hook_count++], UC_HOOK_MEM_INVALID, on_refused, c, first, last);
}

/* Hook what refuses accesses: gaps, flash, and pages that the MPU denies. Never plain RAM:
 * a hook on a page sends all its stores down Unicorn's slow path. */
void core_watch(Core *c)
{
    while (c->hook_count)
        uc_hook_del(c->uc, c->hooks[--c->hook_count]);
    uint64_t first = 0;
    while (first < 1ull << 32) {
        Region *r = core_region(c, (uint32_t)first, 1);
        uint64_t last = (1ull << 32) - 1;
        if (r) {
            uint32_t page = ((uint32_t)first - r->base) / PAGE;
            bool plain = (r->perms[page] & 3) == (UC_PROT_READ | UC_PROT_WRITE);
            while (++page < r->size / PAGE && ((r->perms[page] & 3) == 3) == plain)
                ;
            last = r->base + (uint64_t)page * PAGE - 1;
            if (!plain)
                watch(c, first, last);
        } else {
            for (int i = 0; i < c->region_count; i++)
                if (c->regions[i].base > first && c->regions[i].base - 1ull < last)
                    last = c->regions[i].base - 1ull;
            watch(c, first, last);
        }
        first = last + 1;
    }
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
    Region *r = core_region(c, address, 1);
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
    Region *r = core_region(c, address, 2);
    uint16_t value = 0;
    if (r)
        memcpy(&value, r->data + (address - r->base), 2);
    return value;
}

enum { WFE = 0xBF20, WFI = 0xBF30, YIELD = 0xBF10 };

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
    if (err == UC_ERR_FETCH_PROT && !c->access.type)
        note_access(c, UC_MEM_FETCH_PROT, pc);
    if (c->access.type) {
        refused(c);
        return;
    }
    core_set_reg(c, UC_ARM_REG_PC, pc | 1);
    if (err == UC_ERR_OK) {
        if (!c->stopping && halfword(c, pc - 2) == WFI)
            c->sleeping = true;
    } else if (err == UC_ERR_INSN_INVALID && halfword(c, pc - 2) == WFE) {
        c->sleeping = !c->event_register;
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
    if (nvic_any_pending(c) && nvic_candidate(c, nvic_execution_priority(c, false))) {
        c->sleeping = false;
        return;
    }
    uint64_t next = c->limit < c->event ? c->limit : c->event, tick = systick_due(c);
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
        nvic_candidate(c, nvic_execution_priority(c, false)))
        return c->now;
    uint64_t tick = systick_due(c), next = tick < c->event ? tick : c->event;
    return next < c->now ? c->now : next;
}

/* Run until something has to be told; NULL with a Python exception set. */
const char *core_run(Core *c)
{
    c->began = c->now;
    for (;;) {
        if (c->mpu_changed)
            mpu_apply(c);
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
        if (c->now >= c->event)
            return "event";
        if (c->now >= c->limit)
            return "limit";
        if (host_is_late(c))
            return "host";
        if (c->now >= c->slice) {
            if (PyErr_CheckSignals())
                return NULL;
            c->slice = c->now + SLICE;
        }
        systick_update(c);
        if (c->sleeping) {
            sleep_on(c);
            if (c->sleeping)
                continue;
        }
        int exception = nvic_any_pending(c) ? nvic_candidate(c, nvic_execution_priority(c, true)) : 0;
        if (exception) {
            exception_enter(c, exception);
            continue;
        }
        c->deadline = 0;
        c->stopping = c->it_doubtful = false;
        c->intno = -1;
        uint32_t xpsr = core_reg(c, UC_ARM_REG_XPSR);
        c->block = c->block_end = core_reg(c, UC_ARM_REG_PC);
        uint8_t it = (uint8_t)((xpsr >> 25 & 3) | (xpsr >> 8 & 0xFC)); /* as an exception left it */
        c->loose = (Block){0, 0, it, it, {0}};
        c->facts = &c->loose;
        uc_err err = uc_emu_start(c->uc, c->block | 1, 0xEFFFFFFE, 0, 0);
        settle_flash(c);
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
    }
}

/* Identity mapping, executable only where code is fetched: Unicorn takes a page that its own
 * MPU model calls executable (all RAM) for self-modifying code, and every store goes slowly. */
static bool on_tlb_fill(uc_engine *uc, uint64_t address, uc_mem_type type, uc_tlb_entry *entry,
                        void *user)
{
    (void)uc;
    if (type != UC_MEM_FETCH)
        ((Core *)user)->it_doubtful = true;
    Region *r = core_region(user, (uint32_t)address, 1);
    bool code = type == UC_MEM_FETCH ||
                (r && r->perms[((uint32_t)address - r->base) / PAGE] & UC_PROT_EXEC);
    entry->paddr = address;
    entry->perms = UC_PROT_READ | UC_PROT_WRITE | (code ? UC_PROT_EXEC : 0);
    return true;
}

/* Make the Cortex-M7 with its buses and hooks. */
uc_err core_open(Core *c)
{
    uc_err err = uc_open(UC_ARCH_ARM, UC_MODE_THUMB, &c->uc);
    if (!err)
        err = uc_ctl_set_cpu_model(c->uc, UC_CPU_ARM_CORTEX_M7);
    if (!err)
        err = uc_mmio_map(c->uc, PERIPHERALS_BASE, PERIPHERALS_SIZE, peripheral_read, c,
                          peripheral_write, c);
    if (!err)
        err = uc_mmio_map(c->uc, PPB_BASE, PPB_SIZE, ppb_read, c, ppb_write, c);
    uc_hook hook;
    if (!err)
        err = uc_ctl_tlb_mode(c->uc, UC_TLB_VIRTUAL);
    if (!err)
        err = uc_hook_add(c->uc, &hook, UC_HOOK_TLB_FILL, on_tlb_fill, c, 1, 0);
    if (!err)
        err = uc_hook_add(c->uc, &hook, UC_HOOK_BLOCK, on_block, c, 1, 0);
    if (!err)
        err = uc_hook_add(c->uc, &hook, UC_HOOK_INTR, on_interrupt, c, 1, 0);
    return err;
}
