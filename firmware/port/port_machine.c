// Included by extmod/modmachine.c.

#include "board.h"
#include "shared/timeutils/timeutils.h"

#ifndef MP_NORETURN // before 1.26
#define MP_NORETURN NORETURN
#endif

extern const mp_obj_type_t machine_pin_type, machine_rtc_type, machine_timer_type, machine_led_type, openmv_flash_type;

#define MICROPY_PY_MACHINE_EXTRA_GLOBALS \
    { MP_ROM_QSTR(MP_QSTR_Pin), MP_ROM_PTR(&machine_pin_type) }, \
    { MP_ROM_QSTR(MP_QSTR_RTC), MP_ROM_PTR(&machine_rtc_type) }, \
    { MP_ROM_QSTR(MP_QSTR_Timer), MP_ROM_PTR(&machine_timer_type) }, \
    { MP_ROM_QSTR(MP_QSTR_LED), MP_ROM_PTR(&machine_led_type) }, \
    { MP_ROM_QSTR(MP_QSTR_Flash), MP_ROM_PTR(&openmv_flash_type) }, \
    { MP_ROM_QSTR(MP_QSTR_PWRON_RESET), MP_ROM_INT(PWRON_RESET) }, \
    { MP_ROM_QSTR(MP_QSTR_HARD_RESET), MP_ROM_INT(HARD_RESET) }, \
    { MP_ROM_QSTR(MP_QSTR_WDT_RESET), MP_ROM_INT(WDT_RESET) }, \
    { MP_ROM_QSTR(MP_QSTR_DEEPSLEEP_RESET), MP_ROM_INT(DEEPSLEEP_RESET) }, \
    { MP_ROM_QSTR(MP_QSTR_SOFT_RESET), MP_ROM_INT(SOFT_RESET) },

enum { SOFT_RESET, PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET };

static mp_obj_t mp_machine_unique_id(void) {
    return mp_obj_new_bytes(UNIQUE_ID, 12);
}

MP_NORETURN static void mp_machine_reset(void) {
    NVIC_SystemReset();
}

// The boot loader in system memory (AN2606): its stack and its start. The emulated board has none
// there, and takes a fault.
MP_NORETURN void mp_machine_bootloader(size_t n_args, const mp_obj_t *args) {
    const uint32_t *vectors = (const uint32_t *)0x1FF09800;
    __disable_irq();
    SysTick->CTRL = 0;
    __asm volatile ("msr msp, %0\n bx %1" :: "r" (vectors[0]), "r" (vectors[1]));
    __builtin_unreachable();
}

// Reset flags as they were at start-up (RM0433 8.7.39).
static mp_int_t mp_machine_reset_cause(void) {
    extern uint32_t reset_flags;
    if (reset_flags & (1u << 26 | 1u << 28)) {
        return WDT_RESET;
    }
    if (reset_flags & (1u << 23 | 1u << 21)) {
        return PWRON_RESET;
    }
    return reset_flags & (1u << 22 | 1u << 24) ? HARD_RESET : SOFT_RESET;
}

static mp_obj_t mp_machine_get_freq(void) {
    return MP_OBJ_NEW_SMALL_INT(CORE_HZ);
}

static void mp_machine_set_freq(size_t n_args, const mp_obj_t *args) {
    mp_raise_NotImplementedError(MP_ERROR_TEXT("the clock is fixed"));
}

static void mp_machine_idle(void) {
    __WFI();
}

static void mp_machine_lightsleep(size_t n_args, const mp_obj_t *args) {
    mp_hal_delay_ms(n_args ? mp_obj_get_int(args[0]) : 0);
}

MP_NORETURN static void mp_machine_deepsleep(size_t n_args, const mp_obj_t *args) {
    mp_raise_NotImplementedError(NULL);
}
