"""Ways to run containers."""
