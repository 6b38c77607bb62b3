"""How long tests wait before they call something a hang."""

HANG_LIMIT = 60.0  # seconds: far more than a busy machine needs, because no promise is measured with it
