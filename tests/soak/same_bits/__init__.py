"""What `invariance.py` asks, of whom, and how it shows the answers."""
