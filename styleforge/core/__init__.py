"""What every room needs: errors, settings, files, devices, the names of layers."""
