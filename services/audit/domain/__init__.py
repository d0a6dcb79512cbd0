"""What is decided and what is proved."""
