"""Whole folders: plan, skip what is finished, paint the rest on any number of workers."""
