"""Tocsin: an incident log and paging service, active in two regions at once."""

__version__ = "0.1.0"
