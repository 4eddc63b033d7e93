// Start, REPL, soft reset, and what runs below every interrupt.

#include "board.h"
#include "py/gc.h"
#include "py/mperrno.h"
#include "py/mphal.h"
#include "py/runtime.h"
#include "py/stackctrl.h"
#include "extmod/modnetwork.h"
#include "extmod/vfs.h"
#include "shared/netutils/netutils.h"
#include "shared/readline/readline.h"
#include "shared/runtime/gchelper.h"
#include "shared/runtime/pyexec.h"
#include "shared/runtime/softtimer.h"
#include "lwip/init.h"
#include "lwip/timeouts.h"
#include "lwip/apps/mdns.h"
#include "eth.h"

extern uint8_t _heap_start, _heap_end, _sstack, _estack;
void ticks_init(void);
void rng_init(void);
void flash_init(void);
void machine_uart_deinit_all(void);

uint32_t reset_flags;

int main(void) {
    reset_flags = RCC_RSR;
    RCC_RSR |= 1u << 16; // RMVF
    console_init();
    ticks_init();
    rng_init();
    rtc_init();
    flash_init();
    lwip_init();
    for (;;) {
        mp_stack_set_top(&_estack);
        mp_stack_set_limit(&_estack - &_sstack - 1024);
        gc_init(&_heap_start, &_heap_end);
        mp_init();
        readline_init0();
        mod_network_init();
        pyexec_frozen_module("_boot.py", false);
        int ret = pyexec_file_if_exists("boot.py");
        if (!(ret & PYEXEC_FORCED_EXIT) && pyexec_mode_kind == PYEXEC_MODE_FRIENDLY_REPL) {
            ret = pyexec_file_if_exists("main.py");
        }
        if (ret & PYEXEC_FORCED_EXIT) {
            goto soft_reset;
        }
        for (;;) {
            if ((pyexec_mode_kind == PYEXEC_MODE_RAW_REPL ? pyexec_raw_repl() : pyexec_friendly_repl()) != 0) {
                break;
            }
        }
    soft_reset:
        mp_printf(&mp_plat_print, "MPY: soft reboot\n");
        soft_timer_deinit();
        machine_uart_deinit_all();
        mod_network_deinit();
        gc_sweep_all();
        mp_deinit();
    }
}

// lwIP and soft timers run here, above the interpreter.
void PendSV_Handler(void) {
    woken = true;
    eth_process_rx();
    sys_check_timeouts();
    soft_timers_run();
}

void gc_collect(void) {
    gc_collect_start();
    gc_helper_collect_regs_and_stack();
    soft_timer_gc_mark_all();
    gc_collect_end();
}

void nlr_jump_fail(void *val) {
    (void)val;
    console_panic("FATAL: uncaught exception\r\n");
}

// Locally administered, from the unique ID.
void mp_hal_get_mac(int index, uint8_t mac[6]) {
    (void)index;
    mac[0] = 0x02;
    for (int i = 1; i < 6; ++i) {
        mac[i] = UNIQUE_ID[i] ^ UNIQUE_ID[i + 6];
    }
}
