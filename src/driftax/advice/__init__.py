"""What a measurement says of a configuration: where the run stands, what limits it, and what a change would do."""
