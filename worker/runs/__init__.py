"""What a person starts: each run composes stages, and none knows the command line."""
