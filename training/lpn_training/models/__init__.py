"""Networks with the official state-dict keys."""
