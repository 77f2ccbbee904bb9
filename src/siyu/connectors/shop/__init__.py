"""Foreign shops that tell of their orders by webhooks: signatures, mappings, and the way into the stream."""
