"""Derivatives: the colour files that are written for an item."""
