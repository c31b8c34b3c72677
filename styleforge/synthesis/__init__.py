"""Images of textures, dreams and reconstructions, by optimisation."""
