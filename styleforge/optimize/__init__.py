"""Minimising an objective over an image: parameterisation, L-BFGS, Adam, schedule of scales."""
