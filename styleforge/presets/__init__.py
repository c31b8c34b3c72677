"""YAML to settings that are valid."""
