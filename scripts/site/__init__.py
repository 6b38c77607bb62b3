"""The site of the documents: `python -m scripts.site check` and `build`. See `make docs`."""
