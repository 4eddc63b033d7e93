// Vector table, memory initialisation, clocks and faults.

#include <string.h>

#include "board.h"

extern uint32_t _etext, _sdata, _edata, _sbss, _ebss, _estack;
int main(void);
void Reset_Handler(void);
void SysTick_Handler(void);
void PendSV_Handler(void);
void FLASH_IRQHandler(void);
void USART1_IRQHandler(void);
void USART3_IRQHandler(void);
void ETH_IRQHandler(void);
void Fault_Handler(void);

static void Default_Handler(void) {
    console_panic("unexpected interrupt\r\n");
}

typedef void (*vector_t)(void);
__attribute__((section(".isr_vector"), used)) static const vector_t vectors[16 + 150] = {
    [0] = (vector_t)&_estack,
    [1] = Reset_Handler,
    [2] = Default_Handler,
    [3 ... 6] = Fault_Handler,
    [11] = Default_Handler,
    [14] = PendSV_Handler,
    [15] = SysTick_Handler,
    [16 ... 165] = Default_Handler,
    [16 + FLASH_IRQn] = FLASH_IRQHandler,
    [16 + USART1_IRQn] = USART1_IRQHandler,
    [16 + USART3_IRQn] = USART3_IRQHandler,
    [16 + ETH_IRQn] = ETH_IRQHandler,
};

static void wait_for(volatile uint32_t *reg, uint32_t mask) {
    while ((*reg & mask) != mask) {
    }
}

// HSE 12 MHz / 3 * 240 / 2 = 480 MHz at VOS0; AHB and AXI 240 MHz, APBs 120 MHz;
// PLL1Q 120 MHz. Voltage scaling as RM0433 6.6.2 demands.
static void clocks_init(void) {
    PWR_CR3 = (PWR_CR3 & ~4u) | 2u; // LDO on, supply configuration locked in
    wait_for(&PWR_CSR1, 1u << 13);
    PWR_D3CR = 3u << 14; // VOS1
    wait_for(&PWR_D3CR, 1u << 13);
    RCC_APB4ENR |= 1u << 1; // SYSCFG
    SYSCFG_PWRCR |= 1u; // overdrive: VOS0
    wait_for(&PWR_D3CR, 1u << 13);
    RCC_CR |= RCC_CR_HSEON;
    wait_for(&RCC_CR, RCC_CR_HSERDY);
    RCC_PLLCKSELR = 3u << 4 | 2u; // DIVM1 = 3, HSE
    RCC_PLL1DIVR = 239u | 1u << 9 | 7u << 16 | 1u << 24; // N 240, P 2, Q 8, R 2
    RCC_PLLCFGR = 2u << 2 | 7u << 16; // input 4 to 8 MHz, wide VCO, P, Q and R out
    RCC_CR |= RCC_CR_PLL1ON;
    wait_for(&RCC_CR, RCC_CR_PLL1RDY);
    FLASH_ACR = 4u | 2u << 4;
    RCC_D1CFGR = 8u | 4u << 4; // HPRE /2, D1PPRE /2
    RCC_D2CFGR = 4u << 4 | 4u << 8;
    RCC_D3CFGR = 4u << 4;
    RCC_CFGR = (RCC_CFGR & ~7u) | 3u;
    while ((RCC_CFGR >> 3 & 7) != 3) {
    }
    RCC_AHB2ENR |= 7u << 29; // SRAM1 to SRAM3
}

// Nothing lives in the ITCM at address 0: a null pointer faults.
static void mpu_init(void) {
    MPU->RNR = 0;
    MPU->RBAR = 0;
    MPU->RASR = 1u << 28 | 15u << 1 | 1u; // 64 KiB, no access, no execution
    MPU->RNR = 1; // DMA buffers in SRAM1: not cached
    MPU->RBAR = 0x30000000;
    MPU->RASR = 1u << 28 | 3u << 24 | 1u << 19 | 16u << 1 | 1u; // 128 KiB, normal, not cacheable
    MPU->CTRL = MPU_CTRL_PRIVDEFENA_Msk | MPU_CTRL_ENABLE_Msk;
    __DSB();
    __ISB();
}

__attribute__((noreturn)) void Reset_Handler(void) {
    SCB->CPACR |= 0xFu << 20;
    __DSB();
    __ISB();
    memcpy(&_sdata, &_etext, (char *)&_edata - (char *)&_sdata);
    memset(&_sbss, 0, (char *)&_ebss - (char *)&_sbss);
    SCB->VTOR = (uint32_t)vectors;
    SCB->SHCSR |= SCB_SHCSR_MEMFAULTENA_Msk | SCB_SHCSR_BUSFAULTENA_Msk | SCB_SHCSR_USGFAULTENA_Msk;
    mpu_init();
    clocks_init();
    SCB_EnableICache();
    SCB_EnableDCache();
    main();
    for (;;) {
    }
}

__attribute__((used, noreturn)) static void fault(const uint32_t *frame, uint32_t exc_return) {
    static const char *const names[] = {"HardFault", "MemManage", "BusFault", "UsageFault"};
    static const char *const stacked[] = {"R0", "R1", "R2", "R3", "R12", "LR", "PC", "xPSR"};
    console_puts("\r\nFATAL: ");
    console_puts(names[((SCB->ICSR & 0x1FF) - 3) & 3]);
    console_puts("\r\n");
    for (int i = 0; i < 8; ++i) {
        console_reg(stacked[i], frame[i]);
    }
    console_reg("EXC_RETURN", exc_return);
    console_reg("CFSR", SCB->CFSR);
    console_reg("HFSR", SCB->HFSR);
    console_reg("MMFAR", SCB->MMFAR);
    console_reg("BFAR", SCB->BFAR);
    console_panic("halted\r\n");
}

__attribute__((naked)) void Fault_Handler(void) {
    __asm volatile ("tst lr, #4\n ite eq\n mrseq r0, msp\n mrsne r0, psp\n mov r1, lr\n b fault\n");
}
