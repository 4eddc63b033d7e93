"""What hosts serve: DHCP, DNS, NTP, HTTP, and what peers say."""
