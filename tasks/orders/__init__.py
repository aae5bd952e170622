"""Orders of every kind: planned, shared out, worked off, steered and kept going."""
