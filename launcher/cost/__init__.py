"""What a sweep will cost: time, memory and disk, each as an interval with its basis."""
