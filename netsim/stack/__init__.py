"""IPv4 from ARP to TCP, without the cable."""
