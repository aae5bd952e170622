"""Finding scans: what a source lists, which of it is a scan, and which bytes have changed."""
