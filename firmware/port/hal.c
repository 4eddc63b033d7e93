// Time, the tick, entropy and the calendar.

#include <string.h>
#include <time.h>

#include "board.h"
#include "py/mphal.h"
#include "py/runtime.h"
#include "shared/runtime/softtimer.h"
#include "shared/timeutils/timeutils.h"
#include "lwip/timeouts.h"
#include "mbedtls/platform_time.h"

enum {
    MARGIN = 200, // clocks that setting SysTick takes at most
};

static uint32_t clocks_in_ms, longest; // of SysTick: a millisecond; the ms in its 24 bits
volatile uint32_t milliseconds;
volatile bool woken;
static volatile bool soft_timer_due;

void SysTick_Handler(void) {
    ++milliseconds;
    soft_timer_due |= soft_timer_next == milliseconds;
    if (soft_timer_due || sys_timeouts_sleeptime() == 0) {
        SCB->ICSR = SCB_ICSR_PENDSVSET_Msk;
    }
}

void soft_timers_run(void) {
    if (soft_timer_due) {
        soft_timer_due = false;
        soft_timer_handler();
    }
}

u32_t sys_now(void) {
    return milliseconds;
}

mp_uint_t mp_hal_ticks_ms(void) {
    return milliseconds;
}

mp_uint_t mp_hal_ticks_us(void) {
    uint32_t ms, clocks;
    do {
        ms = milliseconds;
        clocks = SysTick->LOAD - SysTick->VAL;
        if (SCB->ICSR & SCB_ICSR_PENDSTSET_Msk) { // wrapped, and the handler is kept out
            clocks = SysTick->LOAD - SysTick->VAL + clocks_in_ms;
        }
    } while (ms != milliseconds);
    return ms * 1000 + clocks / (clocks_in_ms / 1000);
}

mp_uint_t mp_hal_ticks_cpu(void) {
    return DWT->CYCCNT;
}

void mp_hal_delay_us(mp_uint_t us) {
    mp_uint_t start = mp_hal_ticks_us();
    while (mp_hal_ticks_us() - start < us) {
    }
}

void mp_hal_delay_ms(mp_uint_t ms) {
    mp_uint_t start = milliseconds;
    // one tick more: the first one may be nearly over
    while (milliseconds - start <= ms) {
        mp_event_wait_ms(ms + 1 - (milliseconds - start));
    }
}

// The next tick comes after so many clocks, those behind it every millisecond.
static void tick_after(uint32_t clocks) {
    SysTick->LOAD = MAX(clocks, 2) - 1;
    SysTick->VAL = 0; // takes LOAD with its next clock, which is eight of ours
    __DSB();
    for (int i = 0; i < 8; ++i) {
        __NOP();
    }
    SysTick->LOAD = clocks_in_ms - 1;
}

// Sleep for at most `ms`, until a timer of lwIP's or ours is due or an interrupt has done
// something. Ticks that have nothing to do are left out.
void idle(uint32_t ms) {
    uint32_t masked = disable_irq();
    uint32_t lwip = sys_timeouts_sleeptime(), soft = soft_timer_next - milliseconds;
    ms = MIN(ms, MIN(lwip, soft));
    bool done = woken || (SCB->ICSR & SCB_ICSR_PENDSTSET_Msk);
    while (!done) {
        uint32_t ticks = MIN(ms, longest), left = SysTick->VAL, missing = 0;
        if (ticks > 1 && left >= MARGIN) {
            tick_after(left + (ticks - 1) * clocks_in_ms);
        } else {
            ticks = 1;
        }
        __WFI(); // what is pending ends it
        bool ticked = SCB->ICSR & SCB_ICSR_PENDSTSET_Msk;
        if (!ticked && (left = SysTick->VAL) > clocks_in_ms) {
            missing = (left - 1) / clocks_in_ms;
            tick_after(left - missing * clocks_in_ms);
        }
        milliseconds += ticks - 1 - missing;
        done = !ticked || ms <= ticks; // the handler counts the last tick
        if (!done) {
            SCB->ICSR = SCB_ICSR_PENDSTCLR_Msk;
            ++milliseconds;
            ms -= ticks;
        }
    }
    woken = false;
    enable_irq(masked);
}

void ticks_init(void) {
    CoreDebug->DEMCR |= CoreDebug_DEMCR_TRCENA_Msk;
    DWT->CTRL |= DWT_CTRL_CYCCNTENA_Msk;
    // an eighth of the core's clock (RM0433 8.5.5), so that sleep lasts eight times as long; where
    // there is none, CLKSOURCE stays set (DDI 0403 B3.3.3)
    SysTick->CTRL = 0;
    clocks_in_ms = CORE_HZ / 1000 / (SysTick->CTRL & SysTick_CTRL_CLKSOURCE_Msk ? 1 : 8);
    longest = (1 << 24) / clocks_in_ms;
    SysTick->LOAD = clocks_in_ms - 1;
    SysTick->VAL = 0;
    SysTick->CTRL = SysTick_CTRL_TICKINT_Msk | SysTick_CTRL_ENABLE_Msk;
    NVIC_SetPriority(SysTick_IRQn, IRQ_PRI_SYSTICK >> 4);
    NVIC_SetPriority(PendSV_IRQn, IRQ_PRI_PENDSV >> 4);
}

// RNG: the kernel clock is HSI48 (RM0433 33.3.4)

void rng_init(void) {
    RCC_CR |= 1u << 12;
    while (!(RCC_CR & 1u << 13)) {
    }
    RCC_AHB2ENR |= 1u << 6;
    RNG_CR = RNG_CR_RNGEN;
}

uint32_t rng_get(void) {
    while (!(RNG_SR & RNG_SR_DRDY)) {
        if (RNG_SR & RNG_SR_SEIS) { // seed error: restart (33.3.7)
            RNG_SR = 0;
            RNG_CR = 0;
            RNG_CR = RNG_CR_RNGEN;
        }
    }
    return RNG_DR;
}

void mp_hal_get_random(size_t n, uint8_t *buf) {
    for (size_t i = 0; i < n; i += 4) {
        uint32_t word = rng_get();
        memcpy(buf + i, &word, MIN(4, n - i));
    }
}

// extmod's own, where it has one (1.28 on), comes before it
MP_WEAK int mbedtls_hardware_poll(void *data, unsigned char *output, size_t len, size_t *olen) {
    (void)data;
    *olen = len;
    mp_hal_get_random(len, output);
    return 0;
}

// RTC from the LSI, 32 kHz

static uint32_t bcd(uint32_t value) {
    return value / 10 << 4 | value % 10;
}

static uint32_t binary(uint32_t value) {
    return (value >> 4) * 10 + (value & 15);
}

void rtc_init(void) {
    RCC_APB4ENR |= 1u << 16;
    PWR_CR1 |= 1u << 8; // DBP: backup domain writable
    while (!(PWR_CR1 & 1u << 8)) {
    }
    if (RCC_BDCR & 1u << 15) {
        return; // runs on since an earlier reset
    }
    RCC_CSR |= 1u;
    while (!(RCC_CSR & 2u)) {
    }
    modify(&RCC_BDCR, 3u << 8, 2u << 8 | 1u << 15);
    RTC_WPR = 0xCA;
    RTC_WPR = 0x53;
    RTC_ISR |= RTC_ISR_INIT;
    while (!(RTC_ISR & RTC_ISR_INITF)) {
    }
    RTC_PRER = 255;
    RTC_PRER = 127u << 16 | 249u; // 32000 / 128 / 250 = 1 Hz
    RTC_TR = 0;
    RTC_DR = bcd(15) << 16 | 4u << 13 | 1u << 8 | 1u;
    RTC_ISR &= ~RTC_ISR_INIT;
    RTC_WPR = 0xFF;
}

void rtc_get(timeutils_struct_time_t *tm, uint32_t *microseconds) {
    uint32_t ssr = RTC_SSR, tr = RTC_TR, dr = RTC_DR; // SSR locks TR and DR until DR is read
    tm->tm_sec = binary(tr & 0x7F);
    tm->tm_min = binary(tr >> 8 & 0x7F);
    tm->tm_hour = binary(tr >> 16 & 0x3F);
    tm->tm_mday = binary(dr & 0x3F);
    tm->tm_mon = binary(dr >> 8 & 0x1F);
    tm->tm_year = 2000 + binary(dr >> 16 & 0xFF);
    tm->tm_wday = (dr >> 13 & 7) - 1;
    *microseconds = (249 - (ssr > 249 ? 249 : ssr)) * 4000;
}

void rtc_set(const timeutils_struct_time_t *tm) {
    RTC_WPR = 0xCA;
    RTC_WPR = 0x53;
    RTC_ISR |= RTC_ISR_INIT;
    while (!(RTC_ISR & RTC_ISR_INITF)) {
    }
    RTC_TR = bcd(tm->tm_hour) << 16 | bcd(tm->tm_min) << 8 | bcd(tm->tm_sec);
    RTC_DR = bcd(tm->tm_year - 2000) << 16 | (tm->tm_wday + 1) << 13 | bcd(tm->tm_mon) << 8
        | bcd(tm->tm_mday);
    RTC_ISR &= ~RTC_ISR_INIT;
    RTC_WPR = 0xFF;
    while (!(RTC_ISR & RTC_ISR_RSF)) {
    }
}

time_t rtc_seconds(time_t *unused) {
    (void)unused;
    timeutils_struct_time_t tm;
    uint32_t us;
    rtc_get(&tm, &us);
    return timeutils_seconds_since_epoch(tm.tm_year, tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min,
        tm.tm_sec);
}

uint64_t mp_hal_time_ns(void) {
    timeutils_struct_time_t tm;
    uint32_t us;
    rtc_get(&tm, &us);
    return (uint64_t)timeutils_seconds_since_epoch(tm.tm_year, tm.tm_mon, tm.tm_mday, tm.tm_hour,
        tm.tm_min, tm.tm_sec) * 1000000000ull + us * 1000ull;
}

mbedtls_ms_time_t mbedtls_ms_time(void) {
    return (mbedtls_ms_time_t)rtc_seconds(NULL) * 1000;
}

struct tm *gmtime(const time_t *seconds) {
    static struct tm tm;
    timeutils_struct_time_t t;
    timeutils_seconds_since_epoch_to_struct_time(*seconds, &t);
    tm = (struct tm) {
        .tm_sec = t.tm_sec, .tm_min = t.tm_min, .tm_hour = t.tm_hour, .tm_mday = t.tm_mday,
        .tm_mon = t.tm_mon - 1, .tm_year = t.tm_year - 1900, .tm_wday = t.tm_wday,
        .tm_yday = t.tm_yday - 1, .tm_isdst = 0,
    };
    return &tm;
}
