"""The same network in other engines."""
