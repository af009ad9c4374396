"""What Tocsin decides, and why. Pure: time, ids and chance come in as arguments, decisions come out."""
