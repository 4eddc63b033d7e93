// USART3 is the console: reception by interrupt into a ring, transmission through the FIFO.

#include "board.h"
#include "py/mphal.h"
#include "py/ringbuf.h"
#include "py/runtime.h"
#include "py/stream.h"
#include "shared/runtime/interrupt_char.h"

static uint8_t console_storage[1024];
static ringbuf_t console_ring = {console_storage, sizeof(console_storage), 0, 0};

// `format` is what CR1 says of word length and parity.
void uart_init(uint32_t base, uint32_t baudrate, uint32_t format) {
    USART_CR1(base) = 0;
    USART_BRR(base) = (APB_HZ + baudrate / 2) / baudrate;
    USART_CR3(base) = USART_CR3_TXFTCFG_EMPTY;
    USART_ICR(base) = USART_ICR_ERRORS;
    USART_CR1(base) = USART_CR1_FIFOEN | USART_CR1_RXNEIE | USART_CR1_TE | USART_CR1_RE | USART_CR1_UE | format;
}

// In the handler: nobody fills the FIFO before it runs on.
void uart_sent(uint32_t base) {
    if ((USART_ISR(base) & USART_ISR_TXFE) && (USART_CR1(base) & USART_CR1_TXFEIE)) {
        USART_CR1(base) &= ~USART_CR1_TXFEIE;
    }
}

void uart_put(uint32_t base, uint8_t byte) {
    if (!(USART_ISR(base) & USART_ISR_TXE)) {
        // full: sleep until the FIFO has run empty; where the handler may not run, pending wakes
        USART_CR1(base) |= USART_CR1_TXFEIE;
        while (!(USART_ISR(base) & USART_ISR_TXFE)) {
            uint32_t masked = __get_PRIMASK();
            __disable_irq();
            if (!(USART_ISR(base) & USART_ISR_TXFE)) {
                __WFI();
            }
            __set_PRIMASK(masked);
        }
    }
    USART_TDR(base) = byte;
}

void console_init(void) {
    RCC_APB1LENR |= 1u << 18;
    RCC_AHB4ENR |= 1u << 3; // GPIOD
    modify(&GPIO_AFR(3, 8), 0xFFu, 0x77u); // PD8 TX, PD9 RX: AF7
    modify(&GPIO_MODER(3), 0xFu << 16, 0xAu << 16);
    uart_init(USART3_BASE, 115200, 0);
    NVIC_SetPriority(USART3_IRQn, IRQ_PRI_UART >> 4);
    NVIC_EnableIRQ(USART3_IRQn);
}

void USART3_IRQHandler(void) {
    woken = true;
    while (USART_ISR(USART3_BASE) & USART_ISR_RXNE) {
        int byte = USART_RDR(USART3_BASE) & 0xFF;
        if (byte == mp_interrupt_char) {
            mp_sched_keyboard_interrupt();
        } else {
            ringbuf_put(&console_ring, byte); // full: the byte is lost, as on any UART
        }
    }
    USART_ICR(USART3_BASE) = USART_ICR_ERRORS;
    uart_sent(USART3_BASE);
}

// For fault handlers: no interrupt ends a WFI there.
static void console_poll(uint8_t byte) {
    while (!(USART_ISR(USART3_BASE) & USART_ISR_TXE)) {
    }
    USART_TDR(USART3_BASE) = byte;
}

void console_puts(const char *text) {
    while (*text) {
        console_poll(*text++);
    }
}

void console_reg(const char *name, uint32_t value) {
    console_puts(name);
    console_puts(" 0x");
    for (int shift = 28; shift >= 0; shift -= 4) {
        console_poll("0123456789ABCDEF"[value >> shift & 15]);
    }
    console_puts("\r\n");
}

void console_panic(const char *text) {
    __disable_irq();
    console_puts(text);
    while (!(USART_ISR(USART3_BASE) & USART_ISR_TC)) {
    }
    for (;;) {
        __WFI();
    }
}

uintptr_t mp_hal_stdio_poll(uintptr_t flags) {
    uintptr_t ready = flags & MP_STREAM_POLL_WR;
    if ((flags & MP_STREAM_POLL_RD) && ringbuf_peek(&console_ring) != -1) {
        ready |= MP_STREAM_POLL_RD;
    }
    return ready;
}

int mp_hal_stdin_rx_chr(void) {
    for (;;) {
        int byte = ringbuf_get(&console_ring);
        if (byte != -1) {
            return byte;
        }
        mp_event_wait_indefinite();
    }
}

mp_uint_t mp_hal_stdout_tx_strn(const char *str, size_t len) {
    for (size_t i = 0; i < len; ++i) {
        uart_put(USART3_BASE, str[i]);
    }
    return len;
}
