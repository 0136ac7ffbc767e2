"""What processes of one machine share at once: limits, claims on them, variables, locks, answers to paused runs."""
