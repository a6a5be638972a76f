"""When a project is trained again by itself, and why: a pure policy, its state, and what was decided."""
