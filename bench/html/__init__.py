"""The HTML report: one static page with inline SVG, made from result documents alone."""
