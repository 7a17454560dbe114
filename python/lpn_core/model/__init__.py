"""From a model file to a running network."""
