"""The demo: two regions on this machine, real events, and every failure of the protocol in turn."""
