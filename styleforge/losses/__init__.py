"""How far an image is from its targets."""
