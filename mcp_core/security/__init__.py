"""Secrets kept out of what is written, the master key, and who may do what."""
