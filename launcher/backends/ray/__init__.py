"""The Ray backend: Ray Tune drives jobs on a Ray cluster, which may have many nodes."""
