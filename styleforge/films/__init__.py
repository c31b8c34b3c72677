"""Films: frames with their times and sound, how scenes move, and results that move with them."""
