"""Where foreign packages meet driftax; each is imported on use."""
