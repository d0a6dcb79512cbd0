"""How the platform is put to work: images, databases, broker, telemetry."""
