"""Side by side with the peers, and the long experiments; each writes a file in `results/`."""
