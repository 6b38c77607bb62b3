"""Looking at the machine and at a server, and judging what was seen."""
