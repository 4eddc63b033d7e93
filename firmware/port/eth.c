// ETH MAC and DMA under lwIP (RM0433 58); LAN8742 on RMII.

#include <string.h>

#include "board.h"
#include "py/mpconfig.h"
#include "py/mperrno.h"
#include "py/mphal.h"
#include "py/runtime.h"
#include "extmod/modnetwork.h"
#include "shared/netutils/netutils.h"
#include "lwip/dhcp.h"
#include "lwip/dns.h"
#include "lwip/etharp.h"
#include "lwip/ethip6.h"
#include "lwip/timeouts.h"
#include "netif/ethernet.h"
#include "eth.h"
#include "eth_phy.h"

enum { RX_COUNT = 8, TX_COUNT = 4, BUFFER_SIZE = 1536, TX_WAIT_MS = 10 };
enum { ANSWER_MS = 100, LINK_MS = 900 }; // the PHY has answered; from there to the next question

typedef struct { uint32_t des[4]; } descriptor_t;

static struct {
    descriptor_t rx[RX_COUNT], tx[TX_COUNT];
    uint8_t rx_buffer[RX_COUNT][BUFFER_SIZE] __attribute__((aligned(32)));
    uint8_t tx_buffer[TX_COUNT][BUFFER_SIZE] __attribute__((aligned(32)));
} dma __attribute__((section(".eth_dma"), aligned(32)));

// Descriptor bits (58.10)
#define OWN (1u << 31)
#define RDES3_IOC (1u << 30)
#define RDES3_BUF1V (1u << 24)
#define RDES3_FD_LD (3u << 28)
#define RDES3_ES (1u << 15)
#define RDES3_PL 0x7FFFu
#define TDES2_IOC (1u << 31)
#define TDES3_FD_LD (3u << 28)
#define TDES3_CPC_Pos 26 // 0: the MAC pads and appends the CRC

#define DMACSR_RI (1u << 6)
#define DMACSR_RBU (1u << 7)
#define DMACSR_NIS (1u << 15)
#define DMACSR_AIS (1u << 14)

struct _eth_t {
    struct netif netif;
    uint32_t phy_addr;
    bool started, asked; // asked: the MDIO transfer under way is poll_link's
    uint32_t rx_next, tx_next;
};

eth_t eth_instance;

static const struct { uint8_t port, pin; } rmii[] = {
    {0, 1}, {0, 2}, {0, 7}, {1, 11}, {1, 12}, {1, 13}, {2, 1}, {2, 4}, {2, 5},
};

static void mdio_wait(void) {
    while (ETH_MACMDIOAR & 1u) {
    }
}

static void mdio_start(uint32_t phy_addr, uint32_t reg, uint32_t operation) {
    ETH_MACMDIOAR = phy_addr << 21 | reg << 16 | 4u << 8 | operation << 2 | 1u; // CR: HCLK / 102
}

// PendSV, where poll_link runs, stays out of a transfer.
static uint32_t mdio(uint32_t phy_addr, uint32_t reg, uint32_t operation, uint32_t value) {
    MICROPY_PY_PENDSV_ENTER
    mdio_wait();
    eth_instance.asked = false;
    ETH_MACMDIODR = value;
    mdio_start(phy_addr, reg, operation);
    mdio_wait();
    value = ETH_MACMDIODR & 0xFFFF;
    MICROPY_PY_PENDSV_EXIT
    return value;
}

uint32_t eth_phy_read(uint32_t phy_addr, uint32_t reg) {
    return mdio(phy_addr, reg, 3, 0);
}

void eth_phy_write(uint32_t phy_addr, uint32_t reg, uint32_t value) {
    mdio(phy_addr, reg, 1, value);
}

static void pins_init(void) {
    RCC_AHB4ENR |= 7u;
    for (size_t i = 0; i < MP_ARRAY_SIZE(rmii); ++i) {
        uint32_t port = rmii[i].port, pin = rmii[i].pin;
        modify(&GPIO_AFR(port, pin), 15u << 4 * (pin & 7), 11u << 4 * (pin & 7));
        modify(&GPIO_OSPEEDR(port), 3u << 2 * pin, 3u << 2 * pin);
        modify(&GPIO_MODER(port), 3u << 2 * pin, 2u << 2 * pin);
    }
}

int eth_init(eth_t *self, int mac_idx, uint32_t phy_addr, int phy_type) {
    (void)mac_idx;
    if (phy_type != ETH_PHY_LAN8742 && phy_type != ETH_PHY_LAN8720) {
        return -1;
    }
    self->phy_addr = phy_addr;
    return 0;
}

void eth_set_trace(eth_t *self, uint32_t value) {
    (void)self;
    (void)value;
}

static void give_rx(uint32_t i) {
    dma.rx[i].des[0] = (uint32_t)dma.rx_buffer[i];
    dma.rx[i].des[1] = dma.rx[i].des[2] = 0;
    __DMB();
    dma.rx[i].des[3] = OWN | RDES3_IOC | RDES3_BUF1V;
}

static int mac_init(eth_t *self) {
    pins_init();
    RCC_APB4ENR |= 1u << 1;
    SYSCFG_PMCR = (SYSCFG_PMCR & ~(7u << 21)) | 4u << 21; // EPIS: RMII
    RCC_AHB1ENR |= 7u << 15; // ETH1MACEN, ETH1TXEN, ETH1RXEN
    RCC_AHB1RSTR |= 1u << 15;
    RCC_AHB1RSTR &= ~(1u << 15);
    ETH_DMAMR = 1;
    for (uint32_t start = mp_hal_ticks_ms(); ETH_DMAMR & 1u;) {
        if (mp_hal_ticks_ms() - start > 1000) {
            return -MP_ETIMEDOUT; // no RMII clock
        }
    }
    eth_phy_write(self->phy_addr, PHY_BCR, PHY_BCR_SOFT_RESET);
    while (eth_phy_read(self->phy_addr, PHY_BCR) & PHY_BCR_SOFT_RESET) {
        mp_hal_delay_ms(1);
    }
    eth_phy_write(self->phy_addr, PHY_BCR, PHY_BCR_AUTONEG_EN);

    ETH_MACCR = ETH_MACCR_ACS | ETH_MACCR_CST | ETH_MACCR_FES | ETH_MACCR_DM;
    ETH_MACPFR = ETH_MACPFR_PM; // lwIP sees to the groups
    const uint8_t *mac = self->netif.hwaddr;
    ETH_MACA0HR = mac[5] << 8 | mac[4] | OWN;
    ETH_MACA0LR = (uint32_t)mac[3] << 24 | mac[2] << 16 | mac[1] << 8 | mac[0];
    ETH_MMCRIMR = ETH_MMCTIMR = 0xFFFFFFFF;
    ETH_MTLTQOMR = 7u << 16 | 2u << 2 | 1u << 1; // 2 KiB, enabled, store and forward
    ETH_MTLRQOMR = 7u << 20 | 1u << 5;
    ETH_DMASBMR = 1u << 12; // address-aligned beats

    memset(&dma, 0, sizeof(dma.rx) + sizeof(dma.tx));
    for (uint32_t i = 0; i < RX_COUNT; ++i) {
        give_rx(i);
    }
    self->rx_next = self->tx_next = 0;
    ETH_DMACTDLAR = (uint32_t)dma.tx;
    ETH_DMACTDRLR = TX_COUNT - 1;
    ETH_DMACTDTPR = (uint32_t)dma.tx;
    ETH_DMACRDLAR = (uint32_t)dma.rx;
    ETH_DMACRDRLR = RX_COUNT - 1;
    ETH_DMACTCR = 32u << 16 | 1u;
    ETH_DMACRCR = 32u << 16 | BUFFER_SIZE << 1 | 1u;
    ETH_DMACRDTPR = (uint32_t)&dma.rx[RX_COUNT];
    ETH_DMACIER = DMACSR_NIS | DMACSR_RI | DMACSR_AIS | DMACSR_RBU;
    ETH_MACCR |= ETH_MACCR_TE | ETH_MACCR_RE;
    NVIC_SetPriority(ETH_IRQn, IRQ_PRI_ETH >> 4);
    NVIC_EnableIRQ(ETH_IRQn);
    return 0;
}

void ETH_IRQHandler(void) {
    ETH_DMACSR = ETH_DMACSR & (DMACSR_NIS | DMACSR_RI | DMACSR_AIS | DMACSR_RBU);
    SCB->ICSR = SCB_ICSR_PENDSVSET_Msk;
}

// In PendSV: what the DMA has received goes to lwIP.
void eth_process_rx(void) {
    eth_t *self = &eth_instance;
    if (!self->started) {
        return;
    }
    for (;;) {
        uint32_t i = self->rx_next, status = dma.rx[i].des[3];
        if (status & OWN) {
            break;
        }
        if ((status & (RDES3_FD_LD | RDES3_ES)) == RDES3_FD_LD) {
            uint32_t size = status & RDES3_PL; // without the CRC: ACS and CST
            struct pbuf *p = pbuf_alloc(PBUF_RAW, size, PBUF_POOL);
            if (p != NULL) {
                pbuf_take(p, dma.rx_buffer[i], size);
                if (self->netif.input(p, &self->netif) != ERR_OK) {
                    pbuf_free(p);
                }
            }
        }
        give_rx(i);
        self->rx_next = (i + 1) % RX_COUNT;
        __DSB();
        ETH_DMACRDTPR = (uint32_t)&dma.rx[RX_COUNT];
    }
}

static err_t eth_send(struct netif *netif, struct pbuf *p) {
    eth_t *self = netif->state;
    uint32_t i = self->tx_next;
    if (p->tot_len > BUFFER_SIZE) {
        return ERR_BUF;
    }
    // A full ring drains at the line's rate; lwIP passes any error on to the script.
    for (uint32_t start = mp_hal_ticks_ms(); ((volatile descriptor_t *)&dma.tx[i])->des[3] & OWN;) {
        if (mp_hal_ticks_ms() - start > TX_WAIT_MS) {
            return ERR_BUF;
        }
    }
    pbuf_copy_partial(p, dma.tx_buffer[i], p->tot_len, 0);
    dma.tx[i].des[0] = (uint32_t)dma.tx_buffer[i];
    dma.tx[i].des[1] = 0;
    dma.tx[i].des[2] = p->tot_len;
    __DMB();
    dma.tx[i].des[3] = OWN | TDES3_FD_LD | p->tot_len;
    self->tx_next = (i + 1) % TX_COUNT;
    __DSB();
    ETH_DMACTDTPR = (uint32_t)&dma.tx[self->tx_next];
    return ERR_OK;
}

static err_t eth_netif_init(struct netif *netif) {
    netif->linkoutput = eth_send;
    netif->output = etharp_output;
    netif->mtu = 1500;
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_IGMP;
    return ERR_OK;
}

struct netif *eth_netif(eth_t *self) {
    return &self->netif;
}

int eth_link_status(eth_t *self) {
    struct netif *netif = &self->netif;
    if (!self->started) {
        return 0;
    }
    if ((netif->flags & (NETIF_FLAG_UP | NETIF_FLAG_LINK_UP)) == (NETIF_FLAG_UP | NETIF_FLAG_LINK_UP)) {
        return netif->ip_addr.addr != 0 ? 3 : 2;
    }
    return eth_phy_read(self->phy_addr, PHY_BSR) & PHY_BSR_LINK_STATUS ? 1 : 0;
}

static void follow_link(eth_t *self, bool up) {
    if (up != (bool)netif_is_link_up(&self->netif)) {
        if (up) {
            int16_t mode = eth_phy_lan87xx_get_link_status(self->phy_addr);
            uint32_t speed = (mode & 3) == 1 ? 0 : ETH_MACCR_FES;
            ETH_MACCR = (ETH_MACCR & ~(ETH_MACCR_FES | ETH_MACCR_DM)) | speed
                | (mode & PHY_DUPLEX ? ETH_MACCR_DM : 0);
            netif_set_link_up(&self->netif);
        } else {
            netif_set_link_down(&self->netif);
        }
    }
}

// The PHY's link, by a timer of lwIP. A transfer takes 27 us, so nobody waits for it.
static void poll_link(void *arg) {
    eth_t *self = arg;
    if (!self->started) {
        return;
    }
    if (self->asked) {
        self->asked = false;
        follow_link(self, ETH_MACMDIODR & PHY_BSR_LINK_STATUS);
        sys_timeout(netif_is_link_up(&self->netif) ? LINK_MS : 0, poll_link, self);
    } else {
        mdio_start(self->phy_addr, PHY_BSR, 3);
        self->asked = true;
        sys_timeout(ANSWER_MS, poll_link, self);
    }
}

bool eth_is_enabled(eth_t *self) { // from 1.29 on
    return self->started;
}

int eth_start(eth_t *self) {
    if (self->started) {
        return 0;
    }
    MICROPY_PY_LWIP_ENTER
    struct netif *netif = &self->netif;
    mp_hal_get_mac(MP_HAL_MAC_ETH0, netif->hwaddr);
    netif->hwaddr_len = 6;
    int result = mac_init(self);
    if (result == 0) {
        ip4_addr_t zero = {0};
        netif->name[0] = 'e';
        netif->name[1] = '0';
        netif_add(netif, &zero, &zero, &zero, self, eth_netif_init, ethernet_input);
        netif_set_hostname(netif, mod_network_hostname_data);
        netif_set_default(netif);
        netif_set_up(netif);
        dns_init();
        dhcp_start(netif);
        self->started = true;
        follow_link(self, eth_phy_read(self->phy_addr, PHY_BSR) & PHY_BSR_LINK_STATUS);
        poll_link(self);
    }
    MICROPY_PY_LWIP_EXIT
    return result;
}

int eth_stop(eth_t *self) {
    if (!self->started) {
        return 0;
    }
    MICROPY_PY_LWIP_ENTER
    self->started = false;
    sys_untimeout(poll_link, self);
    NVIC_DisableIRQ(ETH_IRQn);
    ETH_DMAMR = 1;
    dhcp_stop(&self->netif);
    netif_remove(&self->netif);
    MICROPY_PY_LWIP_EXIT
    return 0;
}

void eth_low_power_mode(eth_t *self, bool enable) {
    uint32_t bcr = eth_phy_read(self->phy_addr, PHY_BCR) & ~PHY_BCR_POWER_DOWN;
    eth_phy_write(self->phy_addr, PHY_BCR, bcr | (enable ? PHY_BCR_POWER_DOWN : 0));
}
