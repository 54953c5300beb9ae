"""The laboratory: optimizer and equations as coupled ensembles."""
