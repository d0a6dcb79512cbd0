"""What every service stands on: few modules, each deep behind a small surface; none knows a service."""
