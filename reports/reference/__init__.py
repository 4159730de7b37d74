"""Published results, and how to set them beside one's own."""
