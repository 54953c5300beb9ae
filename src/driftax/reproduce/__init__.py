"""The papers' experiments, run by driftax: a figure, its data, and what the paper says beside what is measured."""
