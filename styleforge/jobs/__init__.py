"""A request, checked and loaded, carried out, and saved with its recipe."""
