#include <stdint.h>
#define LWIP_NETIF_EXT_STATUS_CALLBACK 1
#define LWIP_LOOPIF_MULTICAST 1
#define LWIP_LOOPBACK_MAX_PBUFS 8
#define LWIP_IPV6 0
#define LWIP_RAND() rng_get()
extern uint32_t rng_get(void);
#if __has_include("extmod/lwip-include/lwipopts_common.h")
#include "extmod/lwip-include/lwipopts_common.h"
#else // before 1.25 each port had options of its own
#include "ports/stm32/lwip_inc/lwipopts.h"
#endif
