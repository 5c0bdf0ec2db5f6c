"""The steps from one version of the schema to the next, run when a store is opened."""
