"""Data contracts of raw objects: what a file must hold, checked at the door."""
