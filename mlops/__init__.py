"""A declarative framework for the whole life of a machine-learning model; this package imports nothing by itself."""
