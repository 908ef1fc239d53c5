"""How workers learn that there is work: they look, or they are told."""
