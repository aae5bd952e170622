"""How fast it is, beside what it could be and what else there is."""
