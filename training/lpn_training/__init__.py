"""Training of the networks that ``lpn_core`` runs."""
