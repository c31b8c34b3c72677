"""Files to pictures and back, and what is done to a picture without any network."""
