/* The Python type `Core`. */
#include "core.h"

#include <structmember.h>

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
    c->leap.first = 16;
    c->slice = SLICE;
    c->intno = -1;
    c->facts = &c->loose;
    c->device_map = PyMem_Calloc(PERIPHERALS_SIZE >> BLOCK_SHIFT, sizeof *c->device_map);
    if (!c->device_map) {
        PyErr_NoMemory();
        return -1;
    }
    uc_err err = core_open(c);
    return err ? failed(err) : 0;
}

/* What the core calls mostly refers to whoever has the core: a cycle, which the collector finds. */
static int core_traverse(Core *c, visitproc visit, void *arg)
{
    Py_VISIT(c->on_unmodelled);
    Py_VISIT(c->on_flash_write);
    events_traverse(c, visit, arg);
    for (int i = 0; i < c->device_count; i++) {
        Py_VISIT(c->devices[i].bus_read);
        Py_VISIT(c->devices[i].bus_write);
        Py_VISIT(c->devices[i].queue);
    }
    return 0;
}

static int core_clear(Core *c)
{
    Py_CLEAR(c->on_unmodelled);
    Py_CLEAR(c->on_flash_write);
    events_clear(c);
    for (int i = 0; i < c->device_count; i++) {
        Py_CLEAR(c->devices[i].bus_read);
        Py_CLEAR(c->devices[i].bus_write);
        Py_CLEAR(c->devices[i].queue);
    }
    return 0;
}

static void core_dealloc(Core *c)
{
    PyObject_GC_UnTrack(c);
    core_clear(c);
    if (c->uc)
        uc_close(c->uc);
    for (int i = 0; i < c->region_count; i++) {
        PyBuffer_Release(&c->regions[i].view);
        PyMem_Free(c->regions[i].perms);
        core_close_facts(&c->regions[i]);
    }
    for (int i = 0; i < c->device_count; i++)
        for (int k = 0; k < 4; k++)
            PyBuffer_Release(&c->devices[i].views[k]);
    PyMem_Free(c->due);
    PyMem_Free(c->devices);
    PyMem_Free(c->device_map);
    PyMem_Free(c->hooks);
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
    if (!r->perms || (code && !core_open_facts(r)))
        return PyErr_NoMemory();
    memset(r->perms, perms, r->size / PAGE);
    Py_RETURN_NONE;
}

static PyObject *map_device(Core *c, PyObject *args)
{
    unsigned long base, size;
    PyObject *tables[4], *bus_read, *bus_write, *queue;
    if (!PyArg_ParseTuple(args, "kkOOOOOOO!", &base, &size, &tables[0], &tables[1], &tables[2],
                          &tables[3], &bus_read, &bus_write, &PyList_Type, &queue))
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
    d->queue = Py_NewRef(queue);
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
    unsigned long long limit, host_end = 0;
    if (!PyArg_ParseTuple(args, "K|K", &limit, &host_end))
        return NULL;
    c->limit = limit;
    c->host_end = host_end;
    const char *reason = core_run(c);
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
    Region *r = bus_region(c, (uint32_t)address, (uint32_t)size);
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
    Region *r = bus_region(c, (uint32_t)address, (uint32_t)data.len);
    if (!r)
        PyErr_Format(PyExc_LookupError, "no memory at 0x%08lX", address);
    else
        memcpy(r->data + (address - r->base), data.buf, (size_t)data.len);
    PyBuffer_Release(&data);
    if (!r)
        return NULL;
    Py_RETURN_NONE;
}

/* True, with an exception set, unless an access is one to peripherals. */
static bool no_register(unsigned long address, unsigned long size)
{
    bool inside = address - PERIPHERALS_BASE < PERIPHERALS_SIZE && (size == 1 || size == 2 || size == 4);
    if (!inside)
        PyErr_Format(PyExc_LookupError, "no register at 0x%08lX", address);
    return !inside;
}

static PyObject *py_read_register(Core *c, PyObject *args)
{
    unsigned long address, size;
    if (!PyArg_ParseTuple(args, "kk", &address, &size) || no_register(address, size))
        return NULL;
    uint32_t value = bus_read(c, (uint32_t)address, (unsigned)size);
    return PyErr_Occurred() ? NULL : PyLong_FromUnsignedLong(value);
}

static PyObject *py_write_register(Core *c, PyObject *args)
{
    unsigned long address, value, size;
    if (!PyArg_ParseTuple(args, "kkk", &address, &value, &size) || no_register(address, size))
        return NULL;
    bus_write(c, (uint32_t)address, (unsigned)size, (uint32_t)value);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *py_invalidate(Core *c, PyObject *args)
{
    unsigned long address, size;
    if (!PyArg_ParseTuple(args, "kk", &address, &size))
        return NULL;
    core_forget(c, (uint32_t)address, (uint32_t)size);
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

static PyObject *py_save(Core *c, PyObject *unused)
{
    (void)unused;
    PyObject *state = PyBytes_FromStringAndSize(NULL, STATE_BYTES);
    if (state)
        state_save(c, PyBytes_AS_STRING(state));
    return state;
}

/* What is not in it starts anew, the loop that may wait; the events stay what they are. */
static PyObject *py_load(Core *c, PyObject *args)
{
    Py_buffer state;
    if (!PyArg_ParseTuple(args, "y*", &state))
        return NULL;
    bool whole = state.len == STATE_BYTES;
    if (whole) {
        state_load(c, state.buf);
        c->mpu_changed = true;
        leap_reset(c);
        uc_ctl_flush_tlb(c->uc);
        for (int i = 0; i < c->region_count; i++) { /* code in RAM is another now */
            Region *r = &c->regions[i];
            for (uint32_t page = 0; !r->code && page < r->size / PAGE; page++)
                if (r->perms[page] & UC_PROT_EXEC)
                    uc_ctl_remove_cache(c->uc, r->base + page * PAGE, r->base + (page + 1) * PAGE);
        }
    }
    PyBuffer_Release(&state);
    if (!whole)
        return PyErr_Format(PyExc_ValueError, "a state has %d bytes", (int)STATE_BYTES);
    Py_RETURN_NONE;
}

static PyTypeObject core_type;

/* A core in a network: when it was switched on (ns), its clocks a second, and when it wakes. */
typedef struct {
    Core *core;
    unsigned long long on, frequency;
    uint64_t wakes;
} Camera;

static uint64_t nanoseconds(const Camera *a, uint64_t clock)
{
    return a->on + (uint64_t)((unsigned __int128)clock * 1000000000u / a->frequency);
}

static uint64_t clock_at(const Camera *a, uint64_t ns) /* the first one at or after it */
{
    if (ns <= a->on)
        return 0;
    return (uint64_t)(((unsigned __int128)(ns - a->on) * a->frequency + 999999999u) / 1000000000u);
}

/* Cameras of one network, of which none reaches another sooner than after `lookahead`: while all
 * sleep, let the one that wakes first run so far, then the next, and so on to `until`. Ends before
 * one runs that does not sleep, or with (its number, what run() told) where that is no limit. */
static PyObject *doze(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *list;
    unsigned long long until, lookahead, host_end;
    if (!PyArg_ParseTuple(args, "O!KKK", &PyList_Type, &list, &until, &lookahead, &host_end))
        return NULL;
    Camera cameras[64];
    Py_ssize_t count = PyList_GET_SIZE(list);
    if (count > 64)
        return PyErr_Format(PyExc_ValueError, "more than 64 cameras");
    for (Py_ssize_t i = 0; i < count; i++)
        if (!PyArg_ParseTuple(PyList_GET_ITEM(list, i), "O!KK", &core_type, &cameras[i].core,
                              &cameras[i].on, &cameras[i].frequency))
            return NULL;
    for (Py_ssize_t i = 0; i < count; i++)
        cameras[i].wakes = nanoseconds(&cameras[i], core_wake(cameras[i].core));
    for (;;) {
        Py_ssize_t first = 0;
        for (Py_ssize_t i = 1; i < count; i++)
            if (cameras[i].wakes < cameras[first].wakes)
                first = i;
        uint64_t start = count ? cameras[first].wakes : NEVER;
        Core *c = cameras[first].core;
        if (start >= until || !c->sleeping)
            Py_RETURN_NONE;
        c->limit = clock_at(&cameras[first], start + lookahead < until ? start + lookahead : until);
        c->host_end = host_end;
        const char *reason = core_run(c);
        if (!reason)
            return NULL;
        if (strcmp(reason, "limit"))
            return Py_BuildValue("ns", first, reason);
        cameras[first].wakes = nanoseconds(&cameras[first], core_wake(c));
    }
}

static PyMethodDef functions[] = {
    {"doze", doze, METH_VARARGS,
     "doze([(core, on, frequency), ...], until, lookahead, host_end) -> (number, reason) or None"},
    {0},
};

static PyObject *get_wake(Core *c, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(core_wake(c));
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

static PyGetSetDef getset[] = {
    {"events", (getter)events_get, (setter)events_set, "(clock, order, Event) of all to come", NULL},
    {"wake", (getter)get_wake, NULL, "core clock at which it next acts: now, unless it sleeps", NULL},
    {"fault", (getter)get_fault, NULL, "the last fault taken since reset, or None", NULL},
    {0},
};

static PyMemberDef members[] = {
    {"now", T_ULONGLONG, offsetof(Core, now), READONLY, "core clocks since power-on"},
    {"order", T_ULONGLONG, offsetof(Core, due_order), 0, "of the next event"},
    {"deep", T_BOOL, offsetof(Core, deep), 0, "its clock stands still, no interrupt wakes it"},
    {"idle", T_ULONGLONG, offsetof(Core, idle), READONLY, "core clocks slept through"},
    {"leap", T_UINT, offsetof(Core, leap.first), 0,
     "reads of a register after which a loop may be one that waits, 0: never; from reset() on"},
    {"leapt", T_ULONGLONG, offsetof(Core, leap.leapt), READONLY, "core clocks counted so"},
    {"block", T_UINT, offsetof(Core, block), READONLY, "start address of the block that runs"},
    {0},
};

static PyMethodDef methods[] = {
    {"map_memory", (PyCFunction)(void (*)(void))map_memory, METH_VARARGS | METH_KEYWORDS,
     "map_memory(base, data, flash=False, code=False)"},
    {"map_device", (PyCFunction)map_device, METH_VARARGS,
     "map_device(base, size, mem, wmask, w1c, flags, bus_read, bus_write, queue)"},
    {"reset", (PyCFunction)py_reset, METH_VARARGS, "reset(vtor) -> False if vtor is no memory"},
    {"run", (PyCFunction)py_run, METH_VARARGS,
     "run(limit) -> 'limit', 'stop', 'deep', 'host', 'reset', 'fault' or 'lockup'"},
    {"stop", (PyCFunction)py_stop, METH_NOARGS, "make run() return 'stop' at the next block"},
    {"set_line", (PyCFunction)py_set_line, METH_VARARGS, "set_line(irq, level)"},
    {"read", (PyCFunction)py_read, METH_VARARGS, "read(address, size) -> bytes"},
    {"write", (PyCFunction)py_write, METH_VARARGS, "write(address, data)"},
    {"read_register", (PyCFunction)py_read_register, METH_VARARGS, "read_register(address, size) -> int"},
    {"write_register", (PyCFunction)py_write_register, METH_VARARGS,
     "write_register(address, value, size)"},
    {"invalidate", (PyCFunction)py_invalidate, METH_VARARGS, "invalidate(address, size)"},
    {"schedule", (PyCFunction)(void (*)(void))events_schedule, METH_FASTCALL,
     "schedule(clock, callback) -> Event"},
    {"save", (PyCFunction)py_save, METH_NOARGS, "save() -> bytes: all but memories and devices"},
    {"load", (PyCFunction)py_load, METH_VARARGS, "load(what save() has returned)"},
    {"registers", (PyCFunction)py_registers, METH_NOARGS, "registers() -> dict"},
    {0},
};

static PyTypeObject core_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "omvsim.engine._core.Core",
    .tp_basicsize = sizeof(Core),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_doc = "A Cortex-M7 with NVIC, SysTick, MPU and a peripheral bus.",
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)core_init,
    .tp_dealloc = (destructor)core_dealloc,
    .tp_traverse = (traverseproc)core_traverse,
    .tp_clear = (inquiry)core_clear,
    .tp_methods = methods,
    .tp_members = members,
    .tp_getset = getset,
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "_core", .m_size = -1,
                                    .m_methods = functions};

PyMODINIT_FUNC PyInit__core(void)
{
    PyObject *m = PyModule_Create(&module);
    if (!m || PyModule_AddType(m, &core_type) || PyModule_AddType(m, &event_type)) {
        Py_XDECREF(m);
        return NULL;
    }
    return m;
}
