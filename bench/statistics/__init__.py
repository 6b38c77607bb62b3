"""Numbers out of numbers. Pure."""
