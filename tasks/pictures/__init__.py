"""Pictures for a browser: pyramids of scans and derivatives, and tiles cut from them."""
