// Only with OMVSIM_PLANTED_FAULT=1: a driver's error for the testbed's own tests to find.

#include <stdbool.h>
#include <stdint.h>

#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "netif/ethernet.h"

enum { HEADER = 14, TOTAL_LENGTH = HEADER + 2, NOWHERE = 0xD0000000 };

err_t __real_ethernet_input(struct pbuf *p, struct netif *netif);
err_t __wrap_ethernet_input(struct pbuf *p, struct netif *netif);

// An IPv4 packet that ends before its total length: reads on where no memory is.
err_t __wrap_ethernet_input(struct pbuf *p, struct netif *netif) {
    bool ipv4 = p->tot_len >= HEADER + 20 && pbuf_get_at(p, 12) == 8 && pbuf_get_at(p, 13) == 0;
    uint32_t size = pbuf_get_at(p, TOTAL_LENGTH) << 8 | pbuf_get_at(p, TOTAL_LENGTH + 1);
    if (ipv4 && HEADER + size > p->tot_len) {
        (void)*(volatile uint8_t *)NOWHERE;
    }
    return __real_ethernet_input(p, netif);
}
