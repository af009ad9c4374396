"""Dialects: what other senders say, translated into events of the Events API v2. A module and a table for each."""
