"""The cables and what is on them: cards, switch, ports, capture, faults, rules."""
