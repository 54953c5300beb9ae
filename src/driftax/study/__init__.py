"""A study: one optimizer, one objective, one gradient law and a ladder, from a file to results."""
