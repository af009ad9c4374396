"""Both ports on one machine: SQLite files that several processes use at once. Nothing to install, nothing to set up."""
