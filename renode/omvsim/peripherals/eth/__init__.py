"""The Ethernet block (RM0433 section 58): MAC, DMA, address filter, checksum offload."""
