"""What tests lean on: servers, clocks and stories told as given, when, then."""
