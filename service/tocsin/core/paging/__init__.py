"""Paging: whom to tell what, when, and which region does it. Pure, like all of the core."""
