// What the drivers of this port offer each other.
#ifndef BOARD_H
#define BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stm32h743.h"

#define CORE_HZ 480000000u
#define APB_HZ 120000000u

enum { IRQ_PRI_SYSTICK = 0x10, IRQ_PRI_UART = 0x20, IRQ_PRI_FLASH = 0x30, IRQ_PRI_ETH = 0x40,
       IRQ_PRI_PENDSV = 0xF0 };

// uart.c
void uart_init(uint32_t base, uint32_t baudrate, uint32_t format);
void uart_put(uint32_t base, uint8_t byte);
void uart_sent(uint32_t base);
void console_init(void);
void console_puts(const char *text);
void console_reg(const char *name, uint32_t value);
_Noreturn void console_panic(const char *text);

// hal.c
extern volatile bool woken; // an interrupt handler has done what idle() may wait for
void soft_timers_run(void); // those that are due
uint32_t rng_get(void);
void rtc_init(void);
struct _timeutils_struct_time_t;
void rtc_get(struct _timeutils_struct_time_t *tm, uint32_t *microseconds);
void rtc_set(const struct _timeutils_struct_time_t *tm);

#endif
