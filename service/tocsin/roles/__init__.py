"""The processes of a region, one module each."""
