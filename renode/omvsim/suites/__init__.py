"""The suites on an image: check and its table, workers, Robot library, pytest plugin."""
