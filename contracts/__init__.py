"""What has been agreed: between services, with partners, among us."""
