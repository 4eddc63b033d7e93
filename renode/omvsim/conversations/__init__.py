"""What frames tell of conversations and services: read from captures and evidence."""
