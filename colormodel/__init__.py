"""The shared colourization network: no Prefect, no database, no cloud in it."""
