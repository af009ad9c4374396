"""Status: what is asked first in an incident, answered from what can be reached, with the age of each figure."""
