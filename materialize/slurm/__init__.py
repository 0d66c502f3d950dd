"""A dataset on a cluster: SLURM starts and restarts the tasks, receipts tell what they wrote."""
