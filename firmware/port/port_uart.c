// Included by extmod/machine_uart.c: UART(1) on PB14 (TX) and PB15 (RX).

#include "board.h"
#include "py/ringbuf.h"

#define MICROPY_PY_MACHINE_UART_CLASS_CONSTANTS

struct _machine_uart_obj_t {
    mp_obj_base_t base;
    uint32_t baudrate;
    uint8_t bits, parity, stop; // parity: 0 even, 1 odd, 2 none
    uint16_t timeout, timeout_char;
    bool active;
    ringbuf_t ring;
};

enum { RING_SIZE = 512, PARITY_NONE = 2 };
static uint8_t uart1_storage[RING_SIZE];
static machine_uart_obj_t uart1 = {
    {&machine_uart_type}, 115200, 8, PARITY_NONE, 1, 0, 0, false, {uart1_storage, RING_SIZE, 0, 0},
};

void USART1_IRQHandler(void) {
    woken = true;
    while (USART_ISR(USART1_BASE) & USART_ISR_RXNE) {
        uint8_t mask = uart1.bits == 7 ? 0x7F : 0xFF;
        ringbuf_put(&uart1.ring, USART_RDR(USART1_BASE) & mask); // full: the byte is lost
    }
    USART_ICR(USART1_BASE) = USART_ICR_ERRORS;
    uart_sent(USART1_BASE);
}

static void mp_machine_uart_print(const mp_print_t *print, mp_obj_t self_in, mp_print_kind_t kind) {
    static const char *const parities[] = {"0", "1", "None"};
    machine_uart_obj_t *self = MP_OBJ_TO_PTR(self_in);
    mp_printf(print, "UART(1, baudrate=%u, bits=%u, parity=%s, stop=%u, timeout=%u, timeout_char=%u)",
        self->baudrate, self->bits, parities[self->parity], self->stop, self->timeout,
        self->timeout_char);
}

static void uart1_start(machine_uart_obj_t *self) {
    RCC_APB2ENR |= 1u << 4;
    RCC_AHB4ENR |= 1u << 1;
    modify(&GPIO_AFR(1, 14), 0xFFu << 24, 0x44u << 24);
    modify(&GPIO_MODER(1), 0xFu << 28, 0xAu << 28);
    // A parity bit makes the word longer: M = 01 is 9 bits, M = 10 is 7 (RM0433 48.7.1).
    int word = self->bits + (self->parity != PARITY_NONE);
    uint32_t cr1 = (word == 9 ? 1u << 12 : word == 7 ? 1u << 28 : 0)
        | (self->parity != PARITY_NONE ? 1u << 10 : 0) | (self->parity == 1 ? 1u << 9 : 0);
    USART_CR1(USART1_BASE) = 0;
    USART_CR2(USART1_BASE) = self->stop == 2 ? 2u << 12 : 0;
    uart_init(USART1_BASE, self->baudrate, cr1);
    NVIC_SetPriority(USART1_IRQn, IRQ_PRI_UART >> 4);
    NVIC_EnableIRQ(USART1_IRQn);
    self->active = true;
}

static void mp_machine_uart_init_helper(machine_uart_obj_t *self, size_t n_args, const mp_obj_t *pos_args, mp_map_t *kw_args) {
    enum { ARG_baudrate, ARG_bits, ARG_parity, ARG_stop, ARG_timeout, ARG_timeout_char };
    static const mp_arg_t allowed[] = {
        { MP_QSTR_baudrate, MP_ARG_INT, {.u_int = -1} },
        { MP_QSTR_bits, MP_ARG_INT, {.u_int = -1} },
        { MP_QSTR_parity, MP_ARG_OBJ, {.u_rom_obj = MP_ROM_INT(-1)} },
        { MP_QSTR_stop, MP_ARG_INT, {.u_int = -1} },
        { MP_QSTR_timeout, MP_ARG_KW_ONLY | MP_ARG_INT, {.u_int = -1} },
        { MP_QSTR_timeout_char, MP_ARG_KW_ONLY | MP_ARG_INT, {.u_int = -1} },
    };
    mp_arg_val_t args[MP_ARRAY_SIZE(allowed)];
    mp_arg_parse_all(n_args, pos_args, kw_args, MP_ARRAY_SIZE(allowed), allowed, args);
    mp_int_t baudrate = args[ARG_baudrate].u_int, bits = args[ARG_bits].u_int;
    mp_int_t stop = args[ARG_stop].u_int;
    if (baudrate != -1) {
        if (baudrate < (mp_int_t)(APB_HZ / 65535) || baudrate > (mp_int_t)(APB_HZ / 16)) {
            mp_raise_ValueError(MP_ERROR_TEXT("baudrate out of range"));
        }
        self->baudrate = baudrate;
    }
    if (bits != -1) {
        if (bits != 7 && bits != 8) {
            mp_raise_ValueError(MP_ERROR_TEXT("bits must be 7 or 8"));
        }
        self->bits = bits;
    }
    if (args[ARG_parity].u_obj == mp_const_none) {
        self->parity = PARITY_NONE;
    } else if (mp_obj_get_int(args[ARG_parity].u_obj) != -1) {
        self->parity = mp_obj_get_int(args[ARG_parity].u_obj) & 1;
    }
    if (stop != -1) {
        if (stop != 1 && stop != 2) {
            mp_raise_ValueError(MP_ERROR_TEXT("stop must be 1 or 2"));
        }
        self->stop = stop;
    }
    if (args[ARG_timeout].u_int != -1) {
        self->timeout = args[ARG_timeout].u_int;
    }
    if (args[ARG_timeout_char].u_int != -1) {
        self->timeout_char = args[ARG_timeout_char].u_int;
    }
    uart1_start(self);
}

static mp_obj_t mp_machine_uart_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 1, MP_OBJ_FUN_ARGS_MAX, true);
    if (mp_obj_get_int(args[0]) != 1) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("UART(%d) doesn't exist"), (int)mp_obj_get_int(args[0]));
    }
    mp_map_t kw_args;
    mp_map_init_fixed_table(&kw_args, n_kw, args + n_args);
    mp_machine_uart_init_helper(&uart1, n_args - 1, args + 1, &kw_args);
    return MP_OBJ_FROM_PTR(&uart1);
}

static void mp_machine_uart_deinit(machine_uart_obj_t *self) {
    NVIC_DisableIRQ(USART1_IRQn);
    if (self->active) {
        USART_CR1(USART1_BASE) = 0;
    }
    self->active = false;
}

void machine_uart_deinit_all(void) {
    mp_machine_uart_deinit(&uart1);
}

static mp_int_t mp_machine_uart_any(machine_uart_obj_t *self) {
    return ringbuf_avail(&self->ring);
}

static bool mp_machine_uart_txdone(machine_uart_obj_t *self) {
    return !self->active || (USART_ISR(USART1_BASE) & USART_ISR_TC);
}

static bool wait_byte(machine_uart_obj_t *self, uint32_t timeout) {
    uint32_t start = mp_hal_ticks_ms();
    while (!ringbuf_avail(&self->ring)) {
        uint32_t elapsed = mp_hal_ticks_ms() - start;
        if (elapsed >= timeout) {
            return false;
        }
        mp_event_wait_ms(timeout - elapsed);
    }
    return true;
}

static mp_uint_t mp_machine_uart_read(mp_obj_t self_in, void *buf_in, mp_uint_t size, int *errcode) {
    machine_uart_obj_t *self = MP_OBJ_TO_PTR(self_in);
    uint8_t *buf = buf_in;
    mp_uint_t n = 0;
    while (n < size && wait_byte(self, n ? self->timeout_char : self->timeout)) {
        buf[n++] = ringbuf_get(&self->ring);
    }
    if (n == 0 && size) {
        *errcode = MP_EAGAIN;
        return MP_STREAM_ERROR;
    }
    return n;
}

static mp_uint_t mp_machine_uart_write(mp_obj_t self_in, const void *buf_in, mp_uint_t size, int *errcode) {
    machine_uart_obj_t *self = MP_OBJ_TO_PTR(self_in);
    if (!self->active) {
        *errcode = MP_EPERM;
        return MP_STREAM_ERROR;
    }
    for (mp_uint_t i = 0; i < size; ++i) {
        uart_put(USART1_BASE, ((const uint8_t *)buf_in)[i]);
    }
    return size;
}

static mp_uint_t mp_machine_uart_ioctl(mp_obj_t self_in, mp_uint_t request, uintptr_t arg, int *errcode) {
    machine_uart_obj_t *self = MP_OBJ_TO_PTR(self_in);
    switch (request) {
        case MP_STREAM_POLL:
            return (arg & MP_STREAM_POLL_WR)
                | ((arg & MP_STREAM_POLL_RD) && ringbuf_avail(&self->ring) ? MP_STREAM_POLL_RD : 0);
        case MP_STREAM_FLUSH:
            while (!mp_machine_uart_txdone(self)) {
            }
            return 0;
        default:
            *errcode = MP_EINVAL;
            return MP_STREAM_ERROR;
    }
}
