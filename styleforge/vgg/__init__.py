"""VGG-19: its layers, its weights, and its convolutions made fast."""
