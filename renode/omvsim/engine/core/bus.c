/* The buses: memories, the peripherals' registers, and what refuses an access. */
#include "core.h"

Region *bus_region(Core *c, uint32_t address, uint32_t size)
{
    for (int i = 0; i < c->region_count; i++) {
        Region *r = &c->regions[i];
        if (address - r->base < r->size && r->size - (address - r->base) >= size)
            return r;
    }
    return NULL;
}

/* Told to Python, which may know what a read gives. */
uint32_t bus_unmodelled(Core *c, uint32_t address, int size, bool write, uint32_t value)
{
    leap_touch(c);
    PyObject *result = PyObject_CallFunction(c->on_unmodelled, "kiOkk", (unsigned long)address, size,
                                             write ? Py_True : Py_False, (unsigned long)value,
                                             (unsigned long)c->block);
    uint32_t read = 0;
    if (!result)
        core_python_failed(c);
    else if (PyLong_Check(result))
        read = (uint32_t)PyLong_AsUnsignedLongMask(result);
    Py_XDECREF(result);
    return read;
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
        core_python_failed(c);
    return result;
}

/* For a DMA, which no MPU minds, and for the core behind it. */
uint32_t bus_read(Core *c, uint32_t address, unsigned size)
{
    uint32_t value = 0;
    Device *d = device_at(c, address - PERIPHERALS_BASE);
    uint32_t i = d ? (address - d->base) / 4 : 0;
    if (!d || !(d->flags[i] & MODELLED)) {
        return bus_unmodelled(c, address, (int)size, false, 0);
    }
    if (d->flags[i] & READ_HOOK) {
        leap_touch(c);
        const uint32_t values[] = {i * 4, size};
        PyObject *result = call_hook(c, d->bus_read, values, 2);
        if (result)
            value = (uint32_t)PyLong_AsUnsignedLongMask(result);
        if (result && PyErr_Occurred())
            core_python_failed(c);
        Py_XDECREF(result);
    } else {
        value = d->mem[i];
        leap_poll(c);
    }
    return value >> 8 * (address & 3) & (size == 4 ? ~0u : (1u << 8 * size) - 1);
}

void bus_write(Core *c, uint32_t address, unsigned size, uint32_t value)
{
    Device *d = device_at(c, address - PERIPHERALS_BASE);
    uint32_t i = d ? (address - d->base) / 4 : 0;
    if (!d || !(d->flags[i] & MODELLED)) {
        bus_unmodelled(c, address, (int)size, true, value);
        return;
    }
    if (size < 4) {
        uint32_t shift = 8 * (address & 3), lanes = ((1u << 8 * size) - 1) << shift;
        value = (d->mem[i] & ~lanes & ~d->w1c[i]) | (value << shift & lanes);
    }
    uint32_t before = d->mem[i];
    d->mem[i] = ((d->mem[i] & ~d->wmask[i]) | (value & d->wmask[i])) & ~(value & d->w1c[i]);
    if (d->mem[i] != before || d->flags[i] >= WRITE_HOOK)
        leap_touch(c);
    if (d->flags[i] >= QUEUED) {
        d->flags[i] -= QUEUED;
        PyObject *queued = PyLong_FromUnsignedLong(value);
        if (!queued || PyList_Append(d->queue, queued) < 0)
            core_python_failed(c);
        Py_XDECREF(queued);
    } else if (d->flags[i] & WRITE_HOOK) {
        const uint32_t values[] = {i * 4, value, size};
        Py_XDECREF(call_hook(c, d->bus_write, values, 3));
    }
}

/* The MPU denies this access, which ends the run at its instruction. */
static bool is_refused(Core *c, uint32_t address, uc_mem_type type)
{
    if (!c->mpu_on_peripherals || !mpu_denies(c, address, type == UC_MEM_WRITE_PROT))
        return false;
    bus_note_access(c, type, address);
    c->stopping = true;
    uc_emu_stop(c->uc);
    return true;
}

static uint64_t peripheral_read(uc_engine *uc, uint64_t offset, unsigned size, void *user)
{
    (void)uc;
    uint32_t address = PERIPHERALS_BASE + (uint32_t)offset;
    return is_refused(user, address, UC_MEM_READ_PROT) ? 0 : bus_read(user, address, size);
}

static void peripheral_write(uc_engine *uc, uint64_t offset, unsigned size, uint64_t data, void *user)
{
    (void)uc;
    uint32_t address = PERIPHERALS_BASE + (uint32_t)offset;
    if (!is_refused(user, address, UC_MEM_WRITE_PROT))
        bus_write(user, address, size, (uint32_t)data);
}

/* Memory that refuses */

/* Permission of privileged code at an address: UC_PROT_READ and UC_PROT_WRITE
 * (DDI 0403 B3.5.1, table B3-15). The highest region that covers the address wins. */
static int mpu_access(Core *c, uint32_t address)
{
    if (!(c->mpu_ctrl & 1))
        return UC_PROT_READ | UC_PROT_WRITE;
    for (int i = MPU_REGIONS - 1; i >= 0; i--) {
        uint32_t rasr = c->mpu[i].rasr, log2 = (rasr >> 1 & 31) + 1;
        if (!(rasr & 1))
            continue;
        uint32_t mask = log2 >= 32 ? 0 : ~0u << log2;
        if ((address & mask) != (c->mpu[i].rbar & mask))
            continue;
        if (log2 >= 8 && rasr >> 8 & 0xFF && rasr >> (8 + (address >> (log2 - 3) & 7)) & 1)
            continue; /* subregion disabled */
        switch (rasr >> 24 & 7) {
        case 0: return 0;
        case 5: case 6: case 7: return UC_PROT_READ;
        default: return UC_PROT_READ | UC_PROT_WRITE;
        }
    }
    return c->mpu_ctrl & 4 ? UC_PROT_READ | UC_PROT_WRITE : 0; /* PRIVDEFENA */
}

bool mpu_denies(Core *c, uint32_t address, bool write)
{
    return !(mpu_access(c, address) & (write ? UC_PROT_WRITE : UC_PROT_READ));
}

/* Unicorn lets a store either fault or land. So the controller sees it first, and what it
 * left in the cells comes back after the store landed, at the latest with the next block. */
void bus_settle_flash(Core *c)
{
    if (c->cells.size)
        memcpy(c->cells.at, c->cells.truth, c->cells.size);
    c->cells.size = 0;
}

/* Unicorn may leave wrong IT bits behind: look with the next block, which is a rare one. */
static void doubt_it(Core *c)
{
    c->it_doubtful = true;
    c->deadline = 0;
}

static bool on_flash_store(Core *c, uint32_t address, int size, uint32_t value)
{
    Region *r = bus_region(c, address, (uint32_t)size);
    if (!r || !r->flash || mpu_denies(c, address, true))
        return false;
    bus_settle_flash(c);
    leap_touch(c);
    PyObject *result = PyObject_CallFunction(c->on_flash_write, "kik", (unsigned long)address, size,
                                             (unsigned long)value);
    if (!result)
        core_python_failed(c);
    Py_XDECREF(result);
    c->cells.at = r->data + (address - r->base);
    c->cells.size = (size_t)size;
    memcpy(c->cells.truth, c->cells.at, c->cells.size);
    doubt_it(c);
    return true;
}

/* Registers now: after a store the rest of the block may still run. */
void bus_note_access(Core *c, uc_mem_type type, uint32_t address)
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
    bus_note_access(c, type, (uint32_t)address);
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
static void watch_refusals(Core *c)
{
    while (c->hook_count)
        uc_hook_del(c->uc, c->hooks[--c->hook_count]);
    uint64_t first = 0;
    while (first < 1ull << 32) {
        Region *r = bus_region(c, (uint32_t)first, 1);
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

/* What a page of a memory allows by the MPU; regions smaller than a page act on the whole page that
 * holds their start. */
static int page_perms(Core *c, const Region *r, uint32_t page)
{
    int perms = mpu_access(c, r->base + page * PAGE);
    if (r->flash)
        perms &= ~UC_PROT_WRITE;
    if (perms)
        perms |= r->code ? UC_PROT_EXEC : r->perms[page] & UC_PROT_EXEC;
    return perms;
}

/* Bring the page permissions of all memories in line with the MPU, many pages at once: Unicorn
 * splits a memory at the ends of each change. */
void mpu_apply(Core *c)
{
    c->mpu_changed = false;
    c->mpu_on_peripherals = c->mpu_ctrl & 1;
    for (int i = 0; i < c->region_count; i++) {
        Region *r = &c->regions[i];
        for (uint32_t page = 0; page < r->size / PAGE;) {
            uint32_t first = page;
            int was = r->perms[page], perms = page_perms(c, r, page);
            while (++page < r->size / PAGE && r->perms[page] == was && page_perms(c, r, page) == perms)
                ;
            if (perms != was) {
                uc_mem_protect(c->uc, r->base + first * PAGE, (page - first) * PAGE, (uint32_t)perms);
                memset(r->perms + first, perms, page - first);
            }
        }
    }
    watch_refusals(c);
}

/* Identity mapping, executable only where code is fetched: Unicorn takes a page that its own
 * MPU model calls executable (all RAM) for self-modifying code, and every store goes slowly. */
static bool on_tlb_fill(uc_engine *uc, uint64_t address, uc_mem_type type, uc_tlb_entry *entry,
                        void *user)
{
    (void)uc;
    Core *c = user;
    if (type != UC_MEM_FETCH)
        doubt_it(c);
    Region *r = bus_region(c, (uint32_t)address, 1);
    bool code = type == UC_MEM_FETCH ||
                (r && r->perms[((uint32_t)address - r->base) / PAGE] & UC_PROT_EXEC);
    entry->paddr = address;
    bool reads = type != UC_MEM_WRITE; /* then a store is still to be heard in a proof */
    if (c->leap.proving && r && !reads)
        leap_write(c, r, (uint32_t)address);
    bool closed = c->leap.proving && r && reads;
    entry->perms = UC_PROT_READ | (closed ? 0 : UC_PROT_WRITE) | (code ? UC_PROT_EXEC : 0);
    return true;
}

/* What the core sees at each address, but memories. */
uc_err bus_open(Core *c)
{
    uc_err err = uc_mmio_map(c->uc, PERIPHERALS_BASE, PERIPHERALS_SIZE, peripheral_read, c,
                          peripheral_write, c);
    uc_hook hook;
    if (!err)
        err = uc_ctl_tlb_mode(c->uc, UC_TLB_VIRTUAL);
    if (!err)
        err = uc_hook_add(c->uc, &hook, UC_HOOK_TLB_FILL, on_tlb_fill, c, 1, 0);
    return err;
}
