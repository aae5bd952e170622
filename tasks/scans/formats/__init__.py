"""What each file format says of itself before anything is decoded: one module a format."""
