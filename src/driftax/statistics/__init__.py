"""What is averaged over an ensemble, and how sure the averages are."""
