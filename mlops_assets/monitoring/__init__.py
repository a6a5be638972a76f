"""What is watched: profiles, drift, performance real and estimated. Pure functions."""
