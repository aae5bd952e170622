"""The curators' desk: pages in the browser, and an API, over a ledger and an output."""
