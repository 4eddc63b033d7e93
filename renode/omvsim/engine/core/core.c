/* The run loop, the buses and the Python type. */
#include "core.h"

#include <structmember.h>

#define SLICE 20000000 /* core clocks between two looks at Python's signals */

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

/* Counting: instructions of the block that starts here (DDI 0403 A5.1: the first
 * halfword tells the length). */

static uint32_t count_block(const uint8_t *code, uint32_t bytes)
{
    uint32_t count = 0, offset = 0;
    while (offset < bytes) {
        uint16_t first;
        memcpy(&first, code + offset, 2);
        offset += first >> 11 >= 0x1D ? 4 : 2;
        count++;
    }
    return count;
}

static void settle_flash(Core *c);

/* True if the run must leave the engine before the next block. */
static bool must_stop(Core *c)
{
    settle_flash(c);
    if (c->stop || c->mpu_changed || PyErr_Occurred())
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
    c->deadline = next;
    return false;
}

#define IT_BITS 0x0600FC00u

/* Instructions of an IT block that are left at the end of a block of code. */
static int it_left(const uint8_t *code, uint32_t bytes)
{
    int left = 0;
    for (uint32_t offset = 0; offset < bytes;) {
        uint16_t first;
        memcpy(&first, code + offset, 2);
        offset += first >> 11 >= 0x1D ? 4 : 2;
        if (first >> 8 == 0xBF && first & 15) /* IT: the lowest set bit of the mask ends it */
            left = 4 - __builtin_ctz(first & 15);
        else if (left)
            left--;
    }
    return left;
}

/* When an access misses the TLB or meets a hook and goes on, Unicorn leaves the IT bits of its
 * instruction behind, and the next block would run under them: no flags set, stores skipped.
 * True if they have to be cleared, and the block looked up again. */
static bool it_is_stale(Core *c, uint32_t address)
{
    c->it_doubtful = false;
    uint32_t xpsr = core_reg(c, UC_ARM_REG_XPSR);
    if (!(xpsr & IT_BITS))
        return false;
    Region *r = core_region(c, c->block, c->block_size);
    if (r && address == c->block + c->block_size &&
        it_left(r->data + (c->block - r->base), c->block_size))
        return false; /* a page or translation block ends within an IT block */
    c->it_stale = true; /* cleared outside: leaving the engine brings the bits back */
    return true;
}

static void on_block(uc_engine *uc, uint64_t address, uint32_t size, void *user)
{
    Core *c = user;
    if (c->it_doubtful && it_is_stale(c, (uint32_t)address)) {
        c->stopping = true;
        uc_emu_stop(uc);
        return;
    }
    if (c->now >= c->deadline && must_stop(c)) {
        c->stopping = true;
        uc_emu_stop(uc);
        return;
    }
    c->block = (uint32_t)address;
    c->block_size = size;
    for (int i = 0; i < c->region_count; i++) {
        Region *r = &c->regions[i];
        uint32_t offset = (uint32_t)address - r->base;
        if (offset >= r->size)
            continue;
        if (!r->counts) {
            c->now += count_block(r->data + offset, size);
            return;
        }
        uint32_t *entry = &r->counts[offset / 2];
        if (*entry >> 16 != size)
            *entry = size << 16 | count_block(r->data + offset, size);
        c->now += *entry & 0xFFFF;
        return;
    }
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
        PyObject *result = PyObject_CallFunction(d->bus_read, "I", i * 4);
        if (result)
            value = (uint32_t)PyLong_AsUnsignedLongMask(result);
        if (PyErr_Occurred())
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
    if (d->flags[i] & WRITE_HOOK) {
        PyObject *result = PyObject_CallFunction(d->bus_write, "III", i * 4, value, size);
        if (!result)
            python_failed(c);
        Py_XDECREF(result);
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

static void after_run(Core *c, uc_err err)
{
    uint32_t pc = core_reg(c, UC_ARM_REG_PC);
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
    if (nvic_candidate(c, nvic_execution_priority(c, false))) {
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

/* Run until something has to be told; NULL with a Python exception set. */
static const char *run_until(Core *c)
{
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
        c->stopping = false;
        c->intno = -1;
        uc_err err = uc_emu_start(c->uc, core_reg(c, UC_ARM_REG_PC) | 1, 0xEFFFFFFE, 0, 0);
        settle_flash(c);
        if (c->it_stale)
            core_set_reg(c, UC_ARM_REG_XPSR_NZCVQG, core_reg(c, UC_ARM_REG_XPSR) & ~IT_BITS);
        c->it_stale = false;
        if (PyErr_Occurred())
            return NULL;
        after_run(c, err);
    }
}

/* Identity mapping, executable only where code is fetched: Unicorn takes a page that its own
 * MPU model calls executable (all RAM) for self-modifying code, and every store goes slowly. */
static bool on_tlb_fill(uc_engine *uc, uint64_t address, uc_mem_type type, uc_tlb_entry *entry,
                        void *user)
{
    (void)uc;
    ((Core *)user)->it_doubtful = true;
    Region *r = core_region(user, (uint32_t)address, 1);
    bool code = type == UC_MEM_FETCH ||
                (r && r->perms[((uint32_t)address - r->base) / PAGE] & UC_PROT_EXEC);
    entry->paddr = address;
    entry->perms = UC_PROT_READ | UC_PROT_WRITE | (code ? UC_PROT_EXEC : 0);
    return true;
}

/* The Python type */

static int failed(uc_err err)
{
    PyErr_Format(PyExc_RuntimeError, "unicorn: %s", uc_strerror(err));
    return -1;
}

static int core_init(Core *c, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"on_unmodelled", "on_flash_write", NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO", names, &c->on_unmodelled,
                                     &c->on_flash_write))
        return -1;
    Py_INCREF(c->on_unmodelled);
    Py_INCREF(c->on_flash_write);
    c->limit = 0;
    c->event = NEVER;
    c->slice = SLICE;
    c->intno = -1;
    c->device_map = PyMem_Calloc(PERIPHERALS_SIZE >> BLOCK_SHIFT, sizeof *c->device_map);
    if (!c->device_map) {
        PyErr_NoMemory();
        return -1;
    }
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
    return err ? failed(err) : 0;
}

static void core_dealloc(Core *c)
{
    if (c->uc)
        uc_close(c->uc);
    for (int i = 0; i < c->region_count; i++) {
        PyBuffer_Release(&c->regions[i].view);
        PyMem_Free(c->regions[i].perms);
        PyMem_Free(c->regions[i].counts);
    }
    for (int i = 0; i < c->device_count; i++) {
        for (int k = 0; k < 4; k++)
            PyBuffer_Release(&c->devices[i].views[k]);
        Py_XDECREF(c->devices[i].bus_read);
        Py_XDECREF(c->devices[i].bus_write);
    }
    PyMem_Free(c->devices);
    PyMem_Free(c->device_map);
    PyMem_Free(c->hooks);
    Py_XDECREF(c->on_unmodelled);
    Py_XDECREF(c->on_flash_write);
    Py_TYPE(c)->tp_free(c);
}

static PyObject *map_memory(Core *c, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"base", "data", "flash", "code", NULL};
    unsigned long base;
    PyObject *data;
    int flash = 0, code = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "kO|pp", names, &base, &data, &flash, &code))
        return NULL;
    if (c->region_count == REGIONS)
        return PyErr_Format(PyExc_ValueError, "more than %d memories", REGIONS);
    Region *r = &c->regions[c->region_count];
    memset(r, 0, sizeof *r);
    if (PyObject_GetBuffer(data, &r->view, PyBUF_WRITABLE))
        return NULL;
    r->base = (uint32_t)base;
    r->size = (uint32_t)r->view.len;
    r->data = r->view.buf;
    r->flash = flash;
    r->code = code;
    int perms = UC_PROT_READ | (flash ? 0 : UC_PROT_WRITE) | (code ? UC_PROT_EXEC : 0);
    uc_err err = uc_mem_map_ptr(c->uc, base, r->size, (uint32_t)perms, r->data);
    if (err) {
        PyBuffer_Release(&r->view);
        failed(err);
        return NULL;
    }
    c->region_count++;
    r->perms = PyMem_Malloc(r->size / PAGE);
    if (code)
        r->counts = PyMem_Calloc(r->size / 2, sizeof *r->counts);
    if (!r->perms || (code && !r->counts))
        return PyErr_NoMemory();
    memset(r->perms, perms, r->size / PAGE);
    Py_RETURN_NONE;
}

static PyObject *map_device(Core *c, PyObject *args)
{
    unsigned long base, size;
    PyObject *tables[4], *bus_read, *bus_write;
    if (!PyArg_ParseTuple(args, "kkOOOOOO", &base, &size, &tables[0], &tables[1], &tables[2],
                          &tables[3], &bus_read, &bus_write))
        return NULL;
    if (base < PERIPHERALS_BASE || base - PERIPHERALS_BASE > PERIPHERALS_SIZE - size)
        return PyErr_Format(PyExc_ValueError, "0x%08lX is outside the peripheral space", base);
    Device *devices = PyMem_Resize(c->devices, Device, (size_t)c->device_count + 1);
    if (!devices)
        return PyErr_NoMemory();
    c->devices = devices;
    Device *d = &devices[c->device_count];
    memset(d, 0, sizeof *d);
    uint32_t **words[4] = {&d->mem, &d->wmask, &d->w1c, &d->flags};
    for (int i = 0; i < 4; i++) {
        bool bad = PyObject_GetBuffer(tables[i], &d->views[i], i ? PyBUF_SIMPLE : PyBUF_WRITABLE) != 0;
        if (!bad && d->views[i].len < (Py_ssize_t)size) {
            PyErr_SetString(PyExc_ValueError, "register table shorter than the device");
            bad = true;
        }
        if (bad) {
            for (int k = 0; k <= i; k++)
                PyBuffer_Release(&d->views[k]);
            return NULL;
        }
        *words[i] = d->views[i].buf;
    }
    d->base = (uint32_t)base;
    d->size = (uint32_t)size;
    d->bus_read = Py_NewRef(bus_read);
    d->bus_write = Py_NewRef(bus_write);
    c->device_count++;
    uint32_t first = (d->base - PERIPHERALS_BASE) >> BLOCK_SHIFT;
    uint32_t last = (d->base - PERIPHERALS_BASE + d->size - 1) >> BLOCK_SHIFT;
    for (uint32_t i = first; i <= last; i++)
        c->device_map[i] = (uint16_t)c->device_count;
    Py_RETURN_NONE;
}

static PyObject *py_reset(Core *c, PyObject *args)
{
    unsigned long vtor;
    if (!PyArg_ParseTuple(args, "k", &vtor))
        return NULL;
    c->vtor_reset = (uint32_t)vtor;
    return PyBool_FromLong(core_boot(c));
}

static PyObject *py_run(Core *c, PyObject *args)
{
    unsigned long long limit;
    if (!PyArg_ParseTuple(args, "K", &limit))
        return NULL;
    c->limit = limit;
    const char *reason = run_until(c);
    return reason ? PyUnicode_FromString(reason) : NULL;
}

static PyObject *py_stop(Core *c, PyObject *unused)
{
    (void)unused;
    c->stop = true;
    c->deadline = 0;
    Py_RETURN_NONE;
}

static PyObject *py_set_line(Core *c, PyObject *args)
{
    int irq, level;
    if (!PyArg_ParseTuple(args, "ip", &irq, &level))
        return NULL;
    if (irq < 0 || irq + EXTERNAL >= EXCEPTIONS)
        return PyErr_Format(PyExc_ValueError, "interrupt %d out of range", irq);
    nvic_set_line(c, EXTERNAL + irq, level);
    Py_RETURN_NONE;
}

static PyObject *py_read(Core *c, PyObject *args)
{
    unsigned long address, size;
    if (!PyArg_ParseTuple(args, "kk", &address, &size))
        return NULL;
    Region *r = core_region(c, (uint32_t)address, (uint32_t)size);
    if (!r)
        return PyErr_Format(PyExc_LookupError, "no memory at 0x%08lX", address);
    return PyBytes_FromStringAndSize((char *)r->data + (address - r->base), (Py_ssize_t)size);
}

static PyObject *py_write(Core *c, PyObject *args)
{
    unsigned long address;
    Py_buffer data;
    if (!PyArg_ParseTuple(args, "ky*", &address, &data))
        return NULL;
    Region *r = core_region(c, (uint32_t)address, (uint32_t)data.len);
    if (!r)
        PyErr_Format(PyExc_LookupError, "no memory at 0x%08lX", address);
    else
        memcpy(r->data + (address - r->base), data.buf, (size_t)data.len);
    PyBuffer_Release(&data);
    if (!r)
        return NULL;
    Py_RETURN_NONE;
}

/* Code in this range changed from outside: drop translations and counts. */
static PyObject *py_invalidate(Core *c, PyObject *args)
{
    unsigned long address, size;
    if (!PyArg_ParseTuple(args, "kk", &address, &size))
        return NULL;
    Region *r = core_region(c, (uint32_t)address, (uint32_t)size);
    if (r && r->counts)
        memset(r->counts + (address - r->base) / 2, 0, size / 2 * sizeof *r->counts);
    uc_ctl_remove_cache(c->uc, address, address + size);
    Py_RETURN_NONE;
}

static PyObject *py_registers(Core *c, PyObject *unused)
{
    (void)unused;
    static const struct { const char *name; int id; } table[] = {
        {"r0", UC_ARM_REG_R0}, {"r1", UC_ARM_REG_R1}, {"r2", UC_ARM_REG_R2}, {"r3", UC_ARM_REG_R3},
        {"r4", UC_ARM_REG_R4}, {"r5", UC_ARM_REG_R5}, {"r6", UC_ARM_REG_R6}, {"r7", UC_ARM_REG_R7},
        {"r8", UC_ARM_REG_R8}, {"r9", UC_ARM_REG_R9}, {"r10", UC_ARM_REG_R10},
        {"r11", UC_ARM_REG_R11}, {"r12", UC_ARM_REG_R12}, {"sp", UC_ARM_REG_SP},
        {"lr", UC_ARM_REG_LR}, {"pc", UC_ARM_REG_PC}, {"xpsr", UC_ARM_REG_XPSR},
        {"msp", UC_ARM_REG_MSP}, {"psp", UC_ARM_REG_PSP}, {"control", UC_ARM_REG_CONTROL},
        {"primask", UC_ARM_REG_PRIMASK}, {"basepri", UC_ARM_REG_BASEPRI},
        {"faultmask", UC_ARM_REG_FAULTMASK},
    };
    PyObject *dict = PyDict_New();
    for (size_t i = 0; dict && i < sizeof table / sizeof *table; i++) {
        PyObject *value = PyLong_FromUnsignedLong(core_reg(c, table[i].id));
        if (!value || PyDict_SetItemString(dict, table[i].name, value))
            Py_CLEAR(dict);
        Py_XDECREF(value);
    }
    return dict;
}

static PyObject *get_fault(Core *c, void *unused)
{
    (void)unused;
    Fault *f = &c->fault;
    if (!f->valid)
        Py_RETURN_NONE;
    PyObject *r = PyTuple_New(16);
    for (int i = 0; r && i < 16; i++)
        PyTuple_SET_ITEM(r, i, PyLong_FromUnsignedLong(f->r[i]));
    if (!r)
        return NULL;
    return Py_BuildValue("{s:i,s:K,s:N,s:k,s:k,s:k,s:k,s:k}", "exception", f->exception, "clock",
                         (unsigned long long)f->now, "r", r, "xpsr", (unsigned long)f->xpsr, "cfsr",
                         (unsigned long)f->cfsr, "hfsr", (unsigned long)f->hfsr, "mmfar",
                         (unsigned long)f->mmfar, "bfar", (unsigned long)f->bfar);
}

static PyObject *get_event(Core *c, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(c->event);
}

static int set_event(Core *c, PyObject *value, void *unused)
{
    (void)unused;
    unsigned long long clock = value ? PyLong_AsUnsignedLongLong(value) : NEVER;
    if (PyErr_Occurred())
        return -1;
    c->event = clock;
    if (clock < c->deadline)
        c->deadline = clock;
    return 0;
}

static PyGetSetDef getset[] = {
    {"event", (getter)get_event, (setter)set_event, "core clock at which run() returns 'event'", NULL},
    {"fault", (getter)get_fault, NULL, "the last fault taken since reset, or None", NULL},
    {0},
};

static PyMemberDef members[] = {
    {"now", T_ULONGLONG, offsetof(Core, now), READONLY, "core clocks since power-on"},
    {"idle", T_ULONGLONG, offsetof(Core, idle), READONLY, "core clocks slept through"},
    {"block", T_UINT, offsetof(Core, block), READONLY, "start address of the block that runs"},
    {0},
};

static PyMethodDef methods[] = {
    {"map_memory", (PyCFunction)(void (*)(void))map_memory, METH_VARARGS | METH_KEYWORDS,
     "map_memory(base, data, flash=False, code=False)"},
    {"map_device", (PyCFunction)map_device, METH_VARARGS,
     "map_device(base, size, mem, wmask, w1c, flags, bus_read, bus_write)"},
    {"reset", (PyCFunction)py_reset, METH_VARARGS, "reset(vtor) -> False if vtor is no memory"},
    {"run", (PyCFunction)py_run, METH_VARARGS,
     "run(limit) -> 'limit', 'event', 'stop', 'reset', 'fault' or 'lockup'"},
    {"stop", (PyCFunction)py_stop, METH_NOARGS, "make run() return 'stop' at the next block"},
    {"set_line", (PyCFunction)py_set_line, METH_VARARGS, "set_line(irq, level)"},
    {"read", (PyCFunction)py_read, METH_VARARGS, "read(address, size) -> bytes"},
    {"write", (PyCFunction)py_write, METH_VARARGS, "write(address, data)"},
    {"invalidate", (PyCFunction)py_invalidate, METH_VARARGS, "invalidate(address, size)"},
    {"registers", (PyCFunction)py_registers, METH_NOARGS, "registers() -> dict"},
    {0},
};

static PyTypeObject core_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "omvsim.engine._core.Core",
    .tp_basicsize = sizeof(Core),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "A Cortex-M7 with NVIC, SysTick, MPU and a peripheral bus.",
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)core_init,
    .tp_dealloc = (destructor)core_dealloc,
    .tp_methods = methods,
    .tp_members = members,
    .tp_getset = getset,
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "_core", .m_size = -1};

PyMODINIT_FUNC PyInit__core(void)
{
    PyObject *m = PyModule_Create(&module);
    if (!m || PyModule_AddType(m, &core_type)) {
        Py_XDECREF(m);
        return NULL;
    }
    return m;
}
