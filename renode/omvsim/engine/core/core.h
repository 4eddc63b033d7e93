/* The Cortex-M7 core: Unicorn executes, this code counts time and takes exceptions.
 * Names follow the ARMv7-M Architecture Reference Manual (DDI 0403). */
#ifndef OMVSIM_CORE_H
#define OMVSIM_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <unicorn/unicorn.h>

enum { RESET = 1, NMI, HARD_FAULT, MEM_MANAGE, BUS_FAULT, USAGE_FAULT,
       SVCALL = 11, DEBUG_MONITOR, PENDSV = 14, SYSTICK, EXTERNAL };
enum { EXCEPTIONS = 256, WORDS = EXCEPTIONS / 32, MPU_REGIONS = 16, REGIONS = 32 };
enum { MODELLED = 1, READ_HOOK = 2, WRITE_HOOK = 4, QUEUED = 8 };
enum { SLICE = 20000000 }; /* core clocks between two looks at Python's signals */
enum { GLANCE = 2000 };    /* core clocks between two looks at the host's clock */
enum { PAGE = 4096, BLOCK_SHIFT = 10 };

#define PERIPHERALS_BASE 0x40000000u
#define PERIPHERALS_SIZE 0x20000000u
#define PPB_BASE 0xE0000000u
#define PPB_SIZE 0x00100000u
#define NEVER UINT64_MAX

/* CFSR, HFSR bits (DDI 0403 B3.2.15, B3.2.16) */
#define IACCVIOL (1u << 0)
#define DACCVIOL (1u << 1)
#define MSTKERR (1u << 4)
#define MMARVALID (1u << 7)
#define IBUSERR (1u << 8)
#define PRECISERR (1u << 9)
#define STKERR (1u << 12)
#define BFARVALID (1u << 15)
#define UNDEFINSTR (1u << 16)
#define INVSTATE (1u << 17)
#define INVPC (1u << 18)
#define NOCP (1u << 19)
#define HFSR_VECTTBL (1u << 1)
#define HFSR_FORCED (1u << 30)
#define HFSR_DEBUGEVT (1u << 31)

/* What is a fact of the code of a block: its instructions, and ITSTATE (DDI 0403 A7.3.3) at its
 * start, which is not 0 where it begins inside an IT block, and at its end. */
typedef struct {
    uint16_t bytes, instructions;
    uint8_t it_start, it_end;
    uint16_t fpu; /* where the first instruction for the FPU is, or NO_FPU */
} Block;
enum { NO_FPU = 0xFFFF, USES_FPU = 0x8000 };

typedef struct {
    uint32_t base, size;
    bool flash, code;
    uint8_t *data;
    uint8_t *perms; /* UC_PROT_* per page, as Unicorn has them now */
    Block *blocks;   /* code regions: by start halfword */
    uint32_t *plain; /* of those outside of IT blocks: bytes << 16 | USES_FPU | instructions; or 0 */
    uint32_t coded;  /* bytes with facts: size of code regions, 0 of others */
    Py_buffer view;
} Region;

typedef struct {
    uint32_t base, size;
    uint32_t *mem, *wmask, *w1c, *flags;
    Py_buffer views[4];
    PyObject *bus_read, *bus_write, *queue; /* flags / QUEUED writes go there, without the hook */
} Device;

typedef struct {
    bool valid;
    int exception;
    uint64_t now;
    uint32_t r[16], xpsr, cfsr, hfsr, mmfar, bfar;
} Fault;

typedef struct {
    uint32_t pending[WORDS], active[WORDS], enabled[WORDS], level[WORDS];
    uint8_t priority[EXCEPTIONS];
} Nvic;

typedef struct {
    uint32_t ctrl, load, held; /* held: the counter while it stands, its first value after */
    uint64_t base; /* core clock at which the counter is 0 and takes LOAD: wrap 0 */
    int64_t taken; /* wraps already looked at: -1 before base */
    int64_t seen;  /* wraps already reported by COUNTFLAG */
} SysTick;

enum { STATE_WORDS = 56, MOST_PAGES = 8 };

/* A loop that may be waiting (leap.c) */
typedef struct {
    bool proving, touched, polled;
    uint32_t head, looked, poll_block;      /* blocks */
    uint32_t polls, first, after_polls;     /* since the last look; 0: never; look after so many */
    uint64_t began;                         /* the pass that is proved */
    uint64_t worked, after_clocks;          /* clocks not slept at the last look; look after so many */
    uint64_t leapt;                         /* core clocks that were counted */
    uint32_t state[STATE_WORDS];
    int pages;
    struct { const uint8_t *at; uint8_t was[PAGE]; } written[MOST_PAGES];
} Leap;

typedef struct {
    PyObject_HEAD
    PyObject *callback; /* or None: cancelled */
} Event;

typedef struct {
    uint64_t clock, order;
    Event *event;
} Due;

typedef struct {
    PyObject_HEAD
    uc_engine *uc;
    uint64_t deadline; /* core clock from which on a block is rare; 0: the next one is */
    const uint32_t *plain; /* of the first memory: its `plain`, base and `coded` */
    uint32_t plain_base, plain_size;
    uint32_t plain_mask;        /* without USES_FPU while the FPU is there for all code */
    uint32_t block, block_size; /* the block that runs */
    uint64_t limit, event, slice; /* core clocks; event: when the first is due, or NEVER */
    uint64_t began;    /* this run, in core clocks */
    uint64_t host_end; /* of this run: CLOCK_MONOTONIC's ns, 0: never */
    bool it_doubtful; /* the IT bits of Unicorn may be wrong */
    bool stopping, mpu_changed, it_stale, leaping;
    bool mpu_on_peripherals; /* the MPU may deny accesses to them */
    bool skipped; /* the next instruction is one for an FPU that is off, whose condition fails */
    Block *facts, loose; /* of the last rare block; loose: at the start of a run, and in RAM */
    int intno; /* from UC_HOOK_INTR, or -1 */
    Region regions[REGIONS];
    int region_count;
    Device *devices;
    int device_count;
    uint16_t *device_map; /* device index + 1 by KiB of the peripheral space */
    Leap leap;
    uint32_t until;            /* where to stop within it, 0: nowhere */
    struct { int type; uint32_t address; uint32_t r[16], xpsr; } access; /* refused access */
    struct { uint8_t *at, truth[8]; size_t size; } cells; /* flash cells under the last store */
    uc_hook *hooks; /* on_refused, by range */
    int hook_count;
    PyObject *on_unmodelled, *on_flash_write;
    Due *due; /* a heap */
    Py_ssize_t due_count, due_size;
    uint64_t due_order; /* of the next */
    /* From here on: all that the core is between two runs, beside registers and memories */
    uint64_t now, idle; /* core clocks, and those skipped in WFI */
    bool stop, sleeping, event_register, reset_request, lockup, fault_stop;
    bool deep, deep_asked; /* its clock stands; SLEEPDEEP was set as it went to sleep */
    uint64_t deep_since;   /* 0: it runs */
    Nvic nvic;
    SysTick systick;
    uint32_t vtor, aircr, scr, ccr, shcsr, cfsr, hfsr, dfsr, mmfar, bfar, cpacr;
    uint32_t fpccr, fpcar, fpdscr, demcr, dwt_ctrl, csselr;
    uint64_t dwt_base;
    struct { uint32_t rbar, rasr; } mpu[MPU_REGIONS];
    uint32_t mpu_ctrl, mpu_rnr, vtor_reset;
    Fault fault;
} Core;

/* Each file uses what stands above it here, and core_reg, core_set_reg, core_python_failed. */

/* state.c */
enum { STATE_BYTES = sizeof(Core) - offsetof(Core, now) + STATE_WORDS * sizeof(uint32_t) };
void state_registers(Core *c, uint32_t *words);
void state_set_xpsr(Core *c, uint32_t xpsr);
void state_save(Core *c, char *state);
void state_load(Core *c, const char *state);

/* leap.c */
void leap_reset(Core *c);
void leap_touch(Core *c);
void leap_poll(Core *c);
bool leap_wants(Core *c, uint32_t address, uint64_t next);
void leap_write(Core *c, const Region *r, uint32_t address);
void leap(Core *c, uint32_t address, uint64_t next);

/* bus.c */
uc_err bus_open(Core *c);
Region *bus_region(Core *c, uint32_t address, uint32_t size);
void mpu_apply(Core *c);
bool mpu_denies(Core *c, uint32_t address, bool write);
uint32_t bus_unmodelled(Core *c, uint32_t address, int size, bool write, uint32_t value);
uint32_t bus_read(Core *c, uint32_t address, unsigned size);
void bus_write(Core *c, uint32_t address, unsigned size, uint32_t value);
void bus_settle_flash(Core *c);
void bus_note_access(Core *c, uc_mem_type type, uint32_t address);

/* nvic.c */
void nvic_reset(Core *c);
void nvic_pend(Core *c, int exception);
void nvic_unpend(Core *c, int exception);
void nvic_set_line(Core *c, int exception, bool level);
bool nvic_bit(const uint32_t *bits, int n);
void nvic_assign(uint32_t *bits, int n, bool value);
int nvic_group_priority(Core *c, int exception);
int nvic_execution_priority(Core *c, bool honour_primask);
int nvic_candidate(Core *c, int below);
bool nvic_any_pending(Core *c);
uint64_t systick_due(Core *c);
void systick_update(Core *c);
uint32_t systick_value(Core *c);
uint32_t systick_status(Core *c);
void systick_control(Core *c, uint32_t value);
void systick_reload(Core *c, uint32_t value);
void systick_clear(Core *c);

/* scs.c */
uc_err scs_open(Core *c);

/* events.c */
extern PyTypeObject event_type;
bool events_run(Core *c);
int events_traverse(Core *c, visitproc visit, void *arg);
void events_clear(Core *c);
PyObject *events_schedule(Core *c, PyObject *const *args, Py_ssize_t count);
PyObject *events_get(Core *c, void *unused);
int events_set(Core *c, PyObject *list, void *unused);

/* exception.c */
void exception_enter(Core *c, int exception);
void exception_return(Core *c, uint32_t exc_return);
void exception_fault(Core *c, int exception, uint32_t status, uint32_t address);
bool core_boot(Core *c);

/* core.c */
uc_err core_open(Core *c);
const char *core_run(Core *c);
void core_set_cpacr(Core *c, uint32_t cpacr);
bool core_open_facts(Region *r);
void core_close_facts(Region *r);
void core_forget(Core *c, uint32_t address, uint32_t size);
uint64_t core_wake(Core *c);
void core_sleep(Core *c);
uint32_t core_reg(Core *c, int id);
void core_set_reg(Core *c, int id, uint32_t value);
void core_python_failed(Core *c);

#endif
