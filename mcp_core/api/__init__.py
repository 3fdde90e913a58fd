"""The client and the engine: what executes runs, and the one door to it."""
