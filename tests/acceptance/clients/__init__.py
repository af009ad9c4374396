"""Clients that people have, unmodified, against real regions over TLS. A package, so that one set of regions serves
all its tests and ends with them.
"""
