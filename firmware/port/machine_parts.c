// machine.Pin, machine.LED and machine.RTC.

#include <string.h>

#include "board.h"
#include "py/mphal.h"
#include "py/runtime.h"
#include "extmod/modmachine.h"
#include "extmod/virtpin.h"
#include "shared/timeutils/timeutils.h"

typedef struct { mp_obj_base_t base; uint8_t port, pin; } pin_obj_t;
extern const mp_obj_type_t machine_pin_type;

enum { MODE_IN, MODE_OUT, MODE_OPEN_DRAIN };

static void pin_mode(const pin_obj_t *self, int mode) {
    RCC_AHB4ENR |= 1u << self->port;
    modify(&GPIO_OTYPER(self->port), 1u << self->pin, (mode == MODE_OPEN_DRAIN) << self->pin);
    modify(&GPIO_MODER(self->port), 3u << 2 * self->pin, (uint32_t)(mode != MODE_IN) << 2 * self->pin);
}

static void pin_set(const pin_obj_t *self, bool high) {
    GPIO_BSRR(self->port) = 1u << (self->pin + (high ? 0 : 16));
}

static void pin_print(const mp_print_t *print, mp_obj_t self_in, mp_print_kind_t kind) {
    pin_obj_t *self = MP_OBJ_TO_PTR(self_in);
    mp_printf(print, "Pin('%c%u')", 'A' + self->port, self->pin);
}

static mp_obj_t pin_init(size_t n_args, const mp_obj_t *pos_args, mp_map_t *kw_args) {
    enum { ARG_mode, ARG_pull, ARG_value };
    static const mp_arg_t allowed[] = {
        { MP_QSTR_mode, MP_ARG_INT, {.u_int = -1} },
        { MP_QSTR_pull, MP_ARG_OBJ, {.u_rom_obj = MP_ROM_NONE} },
        { MP_QSTR_value, MP_ARG_KW_ONLY | MP_ARG_OBJ, {.u_rom_obj = MP_ROM_NONE} },
    };
    pin_obj_t *self = MP_OBJ_TO_PTR(pos_args[0]);
    mp_arg_val_t args[MP_ARRAY_SIZE(allowed)];
    mp_arg_parse_all(n_args - 1, pos_args + 1, kw_args, MP_ARRAY_SIZE(allowed), allowed, args);
    if (args[ARG_value].u_obj != mp_const_none) {
        pin_set(self, mp_obj_is_true(args[ARG_value].u_obj));
    }
    if (args[ARG_mode].u_int >= 0) {
        uint32_t pull = args[ARG_pull].u_obj == mp_const_none ? 0 : mp_obj_get_int(args[ARG_pull].u_obj);
        modify(&GPIO_PUPDR(self->port), 3u << 2 * self->pin, pull << 2 * self->pin);
        pin_mode(self, args[ARG_mode].u_int);
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_KW(pin_init_obj, 1, pin_init);

static mp_obj_t pin_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 1, MP_OBJ_FUN_ARGS_MAX, true);
    if (mp_obj_is_type(args[0], &machine_pin_type)) {
        return args[0];
    }
    const char *name = mp_obj_str_get_str(args[0]); // "PD8" or "D8"
    const char *letter = name + (name[0] == 'P');
    unsigned port = letter[0] - 'A', pin = 0;
    const char *digit = letter + 1;
    while (*digit >= '0' && *digit <= '9') {
        pin = pin * 10 + *digit++ - '0';
    }
    if (port > 4 || pin > 15 || digit == letter + 1 || *digit) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("Pin(%s) doesn't exist"), name);
    }
    pin_obj_t *self = mp_obj_malloc(pin_obj_t, type);
    self->port = port;
    self->pin = pin;
    RCC_AHB4ENR |= 1u << port;
    mp_map_t kw;
    mp_map_init_fixed_table(&kw, n_kw, args + n_args);
    mp_obj_t init[4] = {MP_OBJ_FROM_PTR(self)};
    size_t extra = MIN(n_args - 1, 3);
    for (size_t i = 0; i < extra; ++i) {
        init[i + 1] = args[i + 1];
    }
    pin_init(extra + 1, init, &kw);
    return MP_OBJ_FROM_PTR(self);
}

static mp_obj_t pin_call(mp_obj_t self_in, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    pin_obj_t *self = MP_OBJ_TO_PTR(self_in);
    mp_arg_check_num(n_args, n_kw, 0, 1, false);
    if (n_args == 0) {
        return MP_OBJ_NEW_SMALL_INT(GPIO_IDR(self->port) >> self->pin & 1);
    }
    pin_set(self, mp_obj_is_true(args[0]));
    return mp_const_none;
}

static mp_obj_t pin_value(size_t n_args, const mp_obj_t *args) {
    return pin_call(args[0], n_args - 1, 0, args + 1);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(pin_value_obj, 1, 2, pin_value);

static mp_obj_t pin_on(mp_obj_t self) {
    pin_set(MP_OBJ_TO_PTR(self), true);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(pin_on_obj, pin_on);

static mp_obj_t pin_off(mp_obj_t self) {
    pin_set(MP_OBJ_TO_PTR(self), false);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(pin_off_obj, pin_off);

static const mp_rom_map_elem_t pin_locals_table[] = {
    { MP_ROM_QSTR(MP_QSTR_init), MP_ROM_PTR(&pin_init_obj) },
    { MP_ROM_QSTR(MP_QSTR_value), MP_ROM_PTR(&pin_value_obj) },
    { MP_ROM_QSTR(MP_QSTR_on), MP_ROM_PTR(&pin_on_obj) },
    { MP_ROM_QSTR(MP_QSTR_off), MP_ROM_PTR(&pin_off_obj) },
    { MP_ROM_QSTR(MP_QSTR_IN), MP_ROM_INT(MODE_IN) },
    { MP_ROM_QSTR(MP_QSTR_OUT), MP_ROM_INT(MODE_OUT) },
    { MP_ROM_QSTR(MP_QSTR_OPEN_DRAIN), MP_ROM_INT(MODE_OPEN_DRAIN) },
    { MP_ROM_QSTR(MP_QSTR_PULL_UP), MP_ROM_INT(1) },
    { MP_ROM_QSTR(MP_QSTR_PULL_DOWN), MP_ROM_INT(2) },
};
static MP_DEFINE_CONST_DICT(pin_locals, pin_locals_table);

// For machine.Signal and machine.time_pulse_us().
static mp_uint_t pin_ioctl(mp_obj_t self_in, mp_uint_t request, uintptr_t arg, int *errcode) {
    pin_obj_t *self = MP_OBJ_TO_PTR(self_in);
    if (request == MP_PIN_READ) {
        return GPIO_IDR(self->port) >> self->pin & 1;
    }
    pin_set(self, arg);
    return 0;
}
static const mp_pin_p_t pin_protocol = {.ioctl = pin_ioctl};

MP_DEFINE_CONST_OBJ_TYPE(machine_pin_type, MP_QSTR_Pin, MP_TYPE_FLAG_NONE, make_new, pin_make_new,
    print, pin_print, call, pin_call, protocol, &pin_protocol, locals_dict, &pin_locals);

// The RGB LED of the OpenMV Cam H7: red PC0, green PC1 (here MDC), blue PC2, lit when low.

typedef struct { mp_obj_base_t base; pin_obj_t pin; } led_obj_t;

static mp_obj_t led_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 1, 1, false);
    const char *name = mp_obj_str_get_str(args[0]);
    int pin = strcmp(name, "LED_RED") == 0 ? 0 : strcmp(name, "LED_BLUE") == 0 ? 2 : -1;
    if (pin < 0) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("LED(%s) doesn't exist"), name);
    }
    led_obj_t *self = mp_obj_malloc(led_obj_t, type);
    self->pin = (pin_obj_t) {.port = 2, .pin = pin};
    pin_set(&self->pin, true);
    pin_mode(&self->pin, MODE_OUT);
    return MP_OBJ_FROM_PTR(self);
}

static mp_obj_t led_on(mp_obj_t self_in) {
    pin_set(&((led_obj_t *)MP_OBJ_TO_PTR(self_in))->pin, false);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(led_on_obj, led_on);

static mp_obj_t led_off(mp_obj_t self_in) {
    pin_set(&((led_obj_t *)MP_OBJ_TO_PTR(self_in))->pin, true);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(led_off_obj, led_off);

static mp_obj_t led_toggle(mp_obj_t self_in) {
    pin_obj_t *pin = &((led_obj_t *)MP_OBJ_TO_PTR(self_in))->pin;
    pin_set(pin, !(GPIO_ODR(pin->port) >> pin->pin & 1));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(led_toggle_obj, led_toggle);

static const mp_rom_map_elem_t led_locals_table[] = {
    { MP_ROM_QSTR(MP_QSTR_on), MP_ROM_PTR(&led_on_obj) },
    { MP_ROM_QSTR(MP_QSTR_off), MP_ROM_PTR(&led_off_obj) },
    { MP_ROM_QSTR(MP_QSTR_toggle), MP_ROM_PTR(&led_toggle_obj) },
};
static MP_DEFINE_CONST_DICT(led_locals, led_locals_table);

MP_DEFINE_CONST_OBJ_TYPE(machine_led_type, MP_QSTR_LED, MP_TYPE_FLAG_NONE, make_new, led_make_new,
    locals_dict, &led_locals);

// machine.RTC, as ports/stm32 has it: datetime((year, month, day, weekday, hours, minutes, seconds,
// microseconds)), the weekday from 1 for Monday to 7 as it was set

extern const mp_obj_type_t machine_rtc_type;
static const mp_obj_base_t rtc_obj = {&machine_rtc_type};

static mp_obj_t rtc_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 0, 0, false);
    return MP_OBJ_FROM_PTR(&rtc_obj);
}

static mp_obj_t rtc_datetime(size_t n_args, const mp_obj_t *args) {
    timeutils_struct_time_t tm;
    if (n_args == 1) {
        uint32_t us;
        rtc_get(&tm, &us);
        mp_obj_t items[8] = {
            MP_OBJ_NEW_SMALL_INT(tm.tm_year), MP_OBJ_NEW_SMALL_INT(tm.tm_mon),
            MP_OBJ_NEW_SMALL_INT(tm.tm_mday), MP_OBJ_NEW_SMALL_INT(tm.tm_wday + 1),
            MP_OBJ_NEW_SMALL_INT(tm.tm_hour), MP_OBJ_NEW_SMALL_INT(tm.tm_min),
            MP_OBJ_NEW_SMALL_INT(tm.tm_sec), mp_obj_new_int(us),
        };
        return mp_obj_new_tuple(8, items);
    }
    mp_obj_t *items;
    mp_obj_get_array_fixed_n(args[1], 8, &items);
    tm.tm_year = mp_obj_get_int(items[0]);
    tm.tm_mon = mp_obj_get_int(items[1]);
    tm.tm_mday = mp_obj_get_int(items[2]);
    tm.tm_hour = mp_obj_get_int(items[4]);
    tm.tm_min = mp_obj_get_int(items[5]);
    tm.tm_sec = mp_obj_get_int(items[6]);
    if (tm.tm_year < 2000 || tm.tm_year > 2099) {
        mp_raise_ValueError(MP_ERROR_TEXT("year out of range"));
    }
    tm.tm_wday = mp_obj_get_int(items[3]) - 1;
    if (tm.tm_wday < 0 || tm.tm_wday > 6) { // the calendar knows no such day
        tm.tm_wday = timeutils_calc_weekday(tm.tm_year, tm.tm_mon, tm.tm_mday);
    }
    rtc_set(&tm);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(rtc_datetime_obj, 1, 2, rtc_datetime);

static const mp_rom_map_elem_t rtc_locals_table[] = {
    { MP_ROM_QSTR(MP_QSTR_datetime), MP_ROM_PTR(&rtc_datetime_obj) },
};
static MP_DEFINE_CONST_DICT(rtc_locals, rtc_locals_table);

MP_DEFINE_CONST_OBJ_TYPE(machine_rtc_type, MP_QSTR_RTC, MP_TYPE_FLAG_NONE, make_new, rtc_make_new,
    locals_dict, &rtc_locals);
