"""The same work as other people would write it: scans in, colour JPEGs out, with our network.

Each module has `colour_all(paths, out)`. What is alike in all is in `steps`, written as in a
notebook. None has a ledger, a gate or metadata, or looks again at what it wrote.
"""
