"""What operators run beside the roles: verification and the servers of a local set-up."""
