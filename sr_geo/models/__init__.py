"""Models: what a card says, which models there are, and the session that runs one."""
