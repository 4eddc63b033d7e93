// Registers of the STM32H743 that this port uses, by the names of RM0433 rev 8.
#ifndef STM32H743_H
#define STM32H743_H

#include <stdint.h>

typedef enum {
    NonMaskableInt_IRQn = -14, HardFault_IRQn = -13, MemoryManagement_IRQn = -12,
    BusFault_IRQn = -11, UsageFault_IRQn = -10, SVCall_IRQn = -5, PendSV_IRQn = -2,
    SysTick_IRQn = -1, FLASH_IRQn = 4, USART1_IRQn = 37, USART3_IRQn = 39, ETH_IRQn = 61,
} IRQn_Type;

#define __CM7_REV 0x0101U
#define __MPU_PRESENT 1U
#define __NVIC_PRIO_BITS 4U
#define __Vendor_SysTickConfig 0U
#define __FPU_PRESENT 1U
#define __FPU_DP 1U
#define __ICACHE_PRESENT 1U
#define __DCACHE_PRESENT 1U
#include "core_cm7.h"

#define REG(base, offset) (*(volatile uint32_t *)((base) + (offset)))

// RCC (8.7)
#define RCC_CR REG(0x58024400, 0x00)
#define RCC_CR_HSEON (1u << 16)
#define RCC_CR_HSERDY (1u << 17)
#define RCC_CR_PLL1ON (1u << 24)
#define RCC_CR_PLL1RDY (1u << 25)
#define RCC_CFGR REG(0x58024400, 0x10)
#define RCC_D1CFGR REG(0x58024400, 0x18)
#define RCC_D2CFGR REG(0x58024400, 0x1C)
#define RCC_D3CFGR REG(0x58024400, 0x20)
#define RCC_PLLCKSELR REG(0x58024400, 0x28)
#define RCC_PLLCFGR REG(0x58024400, 0x2C)
#define RCC_PLL1DIVR REG(0x58024400, 0x30)
#define RCC_D2CCIP2R REG(0x58024400, 0x54)
#define RCC_BDCR REG(0x58024400, 0x70)
#define RCC_CSR REG(0x58024400, 0x74)
#define RCC_RSR REG(0x58024400, 0xD0)
#define RCC_AHB1ENR REG(0x58024400, 0xD8)
#define RCC_AHB2ENR REG(0x58024400, 0xDC)
#define RCC_AHB4ENR REG(0x58024400, 0xE0)
#define RCC_APB1LENR REG(0x58024400, 0xE8)
#define RCC_APB2ENR REG(0x58024400, 0xF0)
#define RCC_APB4ENR REG(0x58024400, 0xF4)
#define RCC_AHB1RSTR REG(0x58024400, 0x80)

// PWR (6.8)
#define PWR_CR1 REG(0x58024800, 0x00)
#define PWR_CSR1 REG(0x58024800, 0x04)
#define PWR_CR3 REG(0x58024800, 0x0C)
#define PWR_D3CR REG(0x58024800, 0x18)

// SYSCFG (12.3)
#define SYSCFG_PMCR REG(0x58000400, 0x04)
#define SYSCFG_PWRCR REG(0x58000400, 0x2C)

// FLASH (4.9); bank 2 is 0x100 above bank 1
#define FLASH_ACR REG(0x52002000, 0x00)
#define FLASH_KEYR2 REG(0x52002000, 0x104)
#define FLASH_CR2 REG(0x52002000, 0x10C)
#define FLASH_SR2 REG(0x52002000, 0x110)
#define FLASH_CCR2 REG(0x52002000, 0x114)
#define FLASH_CR_LOCK (1u << 0)
#define FLASH_CR_PG (1u << 1)
#define FLASH_CR_SER (1u << 2)
#define FLASH_CR_PSIZE_X64 (3u << 4)
#define FLASH_CR_START (1u << 7)
#define FLASH_CR_SNB_Pos 8
#define FLASH_CR_EOPIE (1u << 16)
#define FLASH_SR_QW (1u << 2)
#define FLASH_SR_EOP (1u << 16)
#define FLASH_SR_ERRORS (0x7EEu << 16)

// GPIO (11.4), ports 0x400 apart
#define GPIO_MODER(port) REG(0x58020000 + 0x400 * (port), 0x00)
#define GPIO_OTYPER(port) REG(0x58020000 + 0x400 * (port), 0x04)
#define GPIO_OSPEEDR(port) REG(0x58020000 + 0x400 * (port), 0x08)
#define GPIO_PUPDR(port) REG(0x58020000 + 0x400 * (port), 0x0C)
#define GPIO_IDR(port) REG(0x58020000 + 0x400 * (port), 0x10)
#define GPIO_ODR(port) REG(0x58020000 + 0x400 * (port), 0x14)
#define GPIO_BSRR(port) REG(0x58020000 + 0x400 * (port), 0x18)
#define GPIO_AFR(port, n) REG(0x58020000 + 0x400 * (port), 0x20 + 4 * ((n) >> 3))

// USART (48.7)
#define USART1_BASE 0x40011000u
#define USART3_BASE 0x40004800u
#define USART_CR1(base) REG(base, 0x00)
#define USART_CR2(base) REG(base, 0x04)
#define USART_CR3(base) REG(base, 0x08)
#define USART_BRR(base) REG(base, 0x0C)
#define USART_ISR(base) REG(base, 0x1C)
#define USART_ICR(base) REG(base, 0x20)
#define USART_RDR(base) REG(base, 0x24)
#define USART_TDR(base) REG(base, 0x28)
#define USART_CR1_UE (1u << 0)
#define USART_CR1_RE (1u << 2)
#define USART_CR1_TE (1u << 3)
#define USART_CR1_RXNEIE (1u << 5)
#define USART_CR1_FIFOEN (1u << 29)
#define USART_CR1_TXFEIE (1u << 30)
#define USART_CR3_TXFTCFG_EMPTY (5u << 29)
#define USART_ISR_RXNE (1u << 5)
#define USART_ISR_TC (1u << 6)
#define USART_ISR_TXE (1u << 7)
#define USART_ISR_TXFE (1u << 23)
#define USART_ICR_ERRORS 0x0Fu

// RNG (33.7)
#define RNG_CR REG(0x48021800, 0x00)
#define RNG_SR REG(0x48021800, 0x04)
#define RNG_DR REG(0x48021800, 0x08)
#define RNG_CR_RNGEN (1u << 2)
#define RNG_SR_DRDY (1u << 0)
#define RNG_SR_SEIS (1u << 6)

// RTC (46.6)
#define RTC_TR REG(0x58004000, 0x00)
#define RTC_DR REG(0x58004000, 0x04)
#define RTC_CR REG(0x58004000, 0x08)
#define RTC_ISR REG(0x58004000, 0x0C)
#define RTC_PRER REG(0x58004000, 0x10)
#define RTC_WPR REG(0x58004000, 0x24)
#define RTC_SSR REG(0x58004000, 0x28)
#define RTC_ISR_RSF (1u << 5)
#define RTC_ISR_INITS (1u << 4)
#define RTC_ISR_INITF (1u << 6)
#define RTC_ISR_INIT (1u << 7)

#define UNIQUE_ID ((const uint8_t *)0x1FF1E800)

// ETH (58.11)
#define ETH_BASE 0x40028000u
#define ETH_MACCR REG(ETH_BASE, 0x000)
#define ETH_MACPFR REG(ETH_BASE, 0x008)
#define ETH_MACPFR_PM (1u << 4)
#define ETH_MACMDIOAR REG(ETH_BASE, 0x200)
#define ETH_MACMDIODR REG(ETH_BASE, 0x204)
#define ETH_MACA0HR REG(ETH_BASE, 0x300)
#define ETH_MACA0LR REG(ETH_BASE, 0x304)
#define ETH_MMCRIMR REG(ETH_BASE, 0x70C)
#define ETH_MMCTIMR REG(ETH_BASE, 0x710)
#define ETH_MTLTQOMR REG(ETH_BASE, 0xD00)
#define ETH_MTLRQOMR REG(ETH_BASE, 0xD30)
#define ETH_DMAMR REG(ETH_BASE, 0x1000)
#define ETH_DMASBMR REG(ETH_BASE, 0x1004)
#define ETH_DMACCR REG(ETH_BASE, 0x1100)
#define ETH_DMACTCR REG(ETH_BASE, 0x1104)
#define ETH_DMACRCR REG(ETH_BASE, 0x1108)
#define ETH_DMACTDLAR REG(ETH_BASE, 0x1114)
#define ETH_DMACRDLAR REG(ETH_BASE, 0x111C)
#define ETH_DMACTDTPR REG(ETH_BASE, 0x1120)
#define ETH_DMACRDTPR REG(ETH_BASE, 0x1128)
#define ETH_DMACTDRLR REG(ETH_BASE, 0x112C)
#define ETH_DMACRDRLR REG(ETH_BASE, 0x1130)
#define ETH_DMACIER REG(ETH_BASE, 0x1134)
#define ETH_DMACSR REG(ETH_BASE, 0x1160)
#define ETH_MACCR_RE (1u << 0)
#define ETH_MACCR_TE (1u << 1)
#define ETH_MACCR_DM (1u << 13)
#define ETH_MACCR_FES (1u << 14)
#define ETH_MACCR_ACS (1u << 20)
#define ETH_MACCR_CST (1u << 21)

static inline void modify(volatile uint32_t *reg, uint32_t clear, uint32_t set) {
    *reg = (*reg & ~clear) | set;
}

#endif
