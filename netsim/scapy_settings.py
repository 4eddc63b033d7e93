"""What scapy leaves undone when it is imported: it would ask the host for its routes."""

from scapy.config import conf

conf.route_autoload = conf.route6_autoload = False
