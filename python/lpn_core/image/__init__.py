"""From pixels to joints and back."""
