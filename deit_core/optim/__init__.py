"""Parameter groups, learning-rate schedule and the moving average of the weights."""
