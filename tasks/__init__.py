"""What is done to scans: plain modules, and thin Prefect tasks over them."""
