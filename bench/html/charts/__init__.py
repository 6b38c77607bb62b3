"""One picture per module; each answers a Picture, or None when its result holds nothing of the kind."""
