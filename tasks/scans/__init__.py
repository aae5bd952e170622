"""Reading scans: `header`, `reader`, `tone` and `findings` hold the names that others use."""
