"""What is measured of music: statistics of a piece, distances between sets, copying. See docs/metrics.md."""
