"""References: genuine colour pictures that curators supply, for the network to learn from."""
