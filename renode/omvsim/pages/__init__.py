"""Documentation pages: their examples and what those need around them."""
