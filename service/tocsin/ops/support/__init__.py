"""The support bundle: what an engineer elsewhere needs to understand an installation, and no secret of it."""
