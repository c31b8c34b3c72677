"""Feed-forward generators: an image, or noise, to a pastiche in one pass."""
