"""One photo and paintings to a pastiche, by optimisation."""
