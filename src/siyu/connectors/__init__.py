"""Outside systems, a folder each. A dialect is data where it can be; secrets are sealed; what comes in is an event."""
