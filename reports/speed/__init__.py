"""How fast and how large the models are, and what accuracy costs."""
