#include <stdint.h>
#include "py/mpconfig.h"
#include "shared/runtime/interrupt_char.h"

enum { MP_HAL_MAC_ETH0 };
void mp_hal_get_mac(int index, uint8_t mac[6]);
mp_uint_t mp_hal_ticks_cpu(void);
void mp_hal_get_random(size_t n, uint8_t *buf);
void eth_process_rx(void);

#define __IO volatile // as CMSIS has it, for shared/runtime/softtimer.c

