"""Talks to model servers: protocols, retries, prices, the local model, and the cache in front of them."""
