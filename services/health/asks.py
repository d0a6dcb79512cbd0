"""What this service asks of others: nothing."""
