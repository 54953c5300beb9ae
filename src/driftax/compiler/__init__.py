"""The coefficient methods: from one step of a chain to drift, covariance and obstruction."""
