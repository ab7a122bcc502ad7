"""Ways to give a pod its place on the network."""
