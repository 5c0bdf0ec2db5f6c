"""Work on a whole store: judging and indexing again, people's marks, pruning, backup, copying."""
