"""What a profile comes to on a cluster: objects that are rendered, or made in memory. Pure."""
