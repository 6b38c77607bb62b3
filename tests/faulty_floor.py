"""The floor with one fault, which the real client must catch: `faulty_floor.py FAULT --port N --kind log`."""

from __future__ import annotations

import sys

from bench.targets import floor

FAULTY_ID = 7


class Faulty(floor.Floor):
    """Drops, doubles or swaps one update, on all clients alike."""

    fault = "none"
    held: bytes | None = None

    def send(self, texts: list[bytes]) -> None:
        number, (text,) = self.last_id + 1, texts
        if number != FAULTY_ID or self.fault == "none":
            super().send([text])
            if self.held is not None:
                late, self.held = self.held, None
                self.last_id -= 1
                super().send([late])
        elif self.fault == "double":
            super().send([text])
            self.last_id -= 1
            super().send([text])
        else:
            self.last_id += 1
            self.held = text if self.fault == "swap" else None


if __name__ == "__main__":
    Faulty.fault = sys.argv.pop(1)
    floor.Floor = Faulty  # type: ignore[misc]
    floor.main()
